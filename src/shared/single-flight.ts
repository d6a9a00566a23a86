export interface SingleFlight<Args extends readonly unknown[], Result> {
  (...args: Args): Promise<Result>
  readonly running: Promise<Result> | null
}

/** Wraps a function: a call while one is under way shares its result. `onOver` may begin the next. */
export function singleFlight<Args extends readonly unknown[], Result>(
  run: (...args: Args) => Promise<Result>,
  onOver?: () => void
): SingleFlight<Args, Result> {
  const join = (...args: Args): Promise<Result> => {
    join.running ??= run(...args).finally(() => {
      join.running = null
      onOver?.()
    })
    return join.running
  }
  join.running = null as Promise<Result> | null
  return join
}

/** Wraps a function: its result is kept for all later calls. After a failure the next call tries again. */
export function loadOnce<Result>(load: () => Promise<Result>): () => Promise<Result> {
  let loading: Promise<Result> | null = null
  return () => {
    loading ??= load().catch((cause: unknown) => {
      loading = null
      throw cause
    })
    return loading
  }
}
