/** How many of the clients ask at the moment. */
export type Load = 'storm' | 'half' | 'lull'

/**
 * A storm fills the queues; at half load there is about enough for all, if it is lent to where it is needed; in a
 * lull everything falls idle.
 */
const CURVE = [
  ['storm', 7000],
  ['half', 8000],
  ['lull', 2500]
] as const satisfies readonly (readonly [Load, number])[]

const PERIOD_MS = CURVE.reduce((sum, [, ms]) => sum + ms, 0)

/** The load so many milliseconds after the start, and how long it will last. */
export function loadAt(ms: number): { readonly load: Load; readonly leftMs: number } {
  let rest = ms % PERIOD_MS
  for (const [load, lastsMs] of CURVE) {
    if (rest < lastsMs) return { load, leftMs: lastsMs - rest }
    rest -= lastsMs
  }
  throw new Error('a period has no end')
}
