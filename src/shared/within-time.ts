/** Waits for a task up to a time; the task goes on, and its later failure is ignored. */
export async function withinTime(task: Promise<unknown>, timeoutMs: number): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, timeoutMs)
  try {
    await Promise.race([task, timeout])
  } finally {
    clearTimeout(timer)
  }
}
