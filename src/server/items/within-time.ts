/** Waits for a task, but no longer than this; it goes on all the same, and may fail then without anybody's hearing. */
export async function withinTime(task: Promise<void>, timeoutMs: number): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, timeoutMs)
  try {
    await Promise.race([task, timeout])
  } finally {
    clearTimeout(timer)
  }
}
