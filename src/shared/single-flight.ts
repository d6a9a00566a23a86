/** Wraps a function: a call while one is under way shares its result. */
export function singleFlight<Args extends readonly unknown[], Result>(
  run: (...args: Args) => Promise<Result>
): (...args: Args) => Promise<Result> {
  let running: Promise<Result> | null = null
  return (...args) => {
    running ??= run(...args).finally(() => {
      running = null
    })
    return running
  }
}
