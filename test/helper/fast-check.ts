import * as fc from 'fast-check'
import { isNightly } from './nightly.ts'

/**
 * fast-check for every test of the project: `assert()` checks the same cases each time, a quarter of them by day
 * (`casesOf()`). `npm run fuzz` runs the same
 * files, and every property there gets a fresh seed and as much time as it is given instead of a number of cases.
 */

export * from 'fast-check'

const SURROGATES = 0x800
const FIRST_SURROGATE = 0xd800

/**
 * Any code point, for texts of any characters. Use it instead of fast-check's `unit: 'binary'`, which takes a second and more of
 * CPU time per process to list all of them.
 */
export const codePoint: fc.Arbitrary<string> = fc
  .integer({ min: 0, max: 0x10ffff - SURROGATES })
  .map((n) => String.fromCodePoint(n < FIRST_SURROGATE ? n : n + SURROGATES))

/** What a fuzzing run tells a test file; see `test/fuzz/run-fuzz.ts`. */
interface Orders {
  readonly seed: number
  /** What a property that failed is replayed with. */
  readonly replay: { readonly property: number; readonly path: string } | null
  /** How long one property may go on, and when the whole run ends, in ms. */
  readonly sliceMs: number
  readonly endsAt: number
}

/** What a test file tells the fuzzing run that started it: that a property begins, and how it went. */
export type PropertyNews =
  | { readonly type: 'begins'; readonly property: number }
  | { readonly type: 'ends'; readonly property: number; readonly cases: number }
  | { readonly type: 'failed'; readonly property: number; readonly path: string }

const orders = readOrders()

/** The same number each time, but another one in each run of `npm run fuzz`. */
const seed = orders?.seed ?? 20_261_125

// For `sample()` and whatever else draws.
fc.configureGlobal({ seed })

/** How many properties this file has checked, which numbers them. */
let properties = 0

/** Fails unless the property holds in every case. */
export function assert<Ts>(
  property: fc.IAsyncProperty<Ts>,
  options?: fc.Parameters<Ts>
): Promise<void>
export function assert<Ts>(property: fc.IProperty<Ts>, options?: fc.Parameters<Ts>): void
export function assert<Ts>(
  property: fc.IAsyncProperty<Ts> | fc.IProperty<Ts>,
  options: fc.Parameters<Ts> = {}
): Promise<void> | void {
  const number = (properties += 1)
  const parameters =
    orders === null
      ? { ...options, seed, numRuns: casesOf(options) }
      : underOrders(orders, number, options)
  if (parameters === null) return property.isAsync() ? Promise.resolve() : undefined
  tell({ type: 'begins', property: number })
  const outcome = fc.check(property as fc.IProperty<Ts>, parameters)
  // Of an asynchronous property comes a promise, whatever its type says.
  const details: unknown = outcome
  if (details instanceof Promise) return details.then((one) => judge(one, number))
  judge(outcome, number)
}

/** Number of cases that fast-check takes where none is given. */
const USUAL_CASES = 100

/** Returns how many cases of a property are checked: by day a quarter of what it asks for, and the usual number at least. */
function casesOf<Ts>({ numRuns = USUAL_CASES }: fc.Parameters<Ts>): number {
  return isNightly ? numRuns : Math.min(numRuns, Math.max(USUAL_CASES, Math.ceil(numRuns / 4)))
}

function judge<Ts>(details: fc.RunDetails<Ts>, property: number): void {
  if (!details.failed) {
    tell({ type: 'ends', property, cases: details.numRuns })
    return
  }
  tell({ type: 'failed', property, path: details.counterexamplePath ?? '' })
  throw new Error(fc.defaultReportMessage(details), { cause: details.errorInstance })
}

/** How a property is checked while fuzzing; `null` if it is not. */
function underOrders<Ts>(
  { seed, replay, sliceMs, endsAt }: Orders,
  number: number,
  options: fc.Parameters<Ts>
): fc.Parameters<Ts> | null {
  if (replay !== null) {
    return replay.property === number ? { ...options, seed, path: replay.path } : null
  }
  const leftMs = Math.min(sliceMs, endsAt - Date.now())
  if (leftMs <= 0) return null
  return {
    ...options,
    seed,
    numRuns: 2 ** 31,
    interruptAfterTimeLimit: leftMs,
    markInterruptAsFailure: false
  }
}

function readOrders(): Orders | null {
  const text = process.env['FUZZ']
  return text === undefined ? null : (JSON.parse(text) as Orders)
}

function tell(news: PropertyNews): void {
  if (orders !== null) process.send?.(news)
}
