import { runLending } from '../helper/lending-run.ts'
import { quantile } from './statistics.ts'

/**
 * What a request waits for a permit that another worker has, beside a single worker that has all of them. On a busy
 * machine the waits are those of the scheduler.   node test/bench/lending.bench.ts
 */

const ROUNDS = 20
const closers: (() => unknown)[] = []

try {
  const { lent, own } = await runLending({ teardown: (close) => closers.push(close) }, ROUNDS)
  for (const [name, waits] of [
    ['lent by the other worker', lent],
    ['one worker has them all', own]
  ] as const) {
    const [p50, p90, p99] = [0.5, 0.9, 0.99].map((part) => quantile(waits, part).toFixed(1))
    const figures = `p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms`
    const waited = waits.filter((ms) => ms > 0.3).length
    process.stdout.write(`${name.padEnd(26)} ${figures} (${waited} of ${waits.length} waited)\n`)
  }
} finally {
  for (const close of closers.toReversed()) await close()
}
