import { cpuMicroseconds, takeAsRequest, takeAtHand, takeInTurn } from './permit-cost.ts'

/** What a permit costs, with and without waiting. Run by hand: `node test/bench/lease.bench.ts` */

for (const [name, run] of [
  ['at hand', takeAtHand],
  ['at hand, with clocks and metrics', takeAsRequest],
  ['1000 waiting', takeInTurn]
] as const) {
  const microseconds = await cpuMicroseconds(run)
  process.stdout.write(
    `${name.padEnd(34)} ${(microseconds * 1000).toFixed(0)} ns per acquire and release\n`
  )
}
