import t from 'tap'
import { reportText, violationsOf } from '../chaos/report.ts'
import { runChaos } from '../chaos/run-chaos.ts'

/**
 * A minute of chaos in all, with another seed each time; `npm run chaos` runs it for hours. The report prints the
 * seed, and `npm run chaos -- --seed N` repeats what the upstream, the clients and the driver do.
 */
for (const [workers, seconds] of [
  [2, 35],
  [4, 30]
] as const) {
  t.test(`the connection budget holds in chaos, with ${workers} workers`, async (t) => {
    t.setTimeout((seconds + 150) * 1000)
    const ended = new AbortController()
    t.teardown(() => ended.abort(new Error('the test is over')))
    const findings = await runChaos({
      seconds,
      workers,
      clients: 500,
      seed: Date.now() % 1_000_000,
      onProgress: (line) => t.comment(line),
      signal: ended.signal
    })
    for (const line of reportText(findings).trimEnd().split('\n')) t.comment(line)
    t.same(violationsOf(findings), [])
    t.ok(findings.kills > 0, 'workers were killed')
    t.ok(findings.resizes > 0, 'the budget was changed')
  })
}
t.setTimeout(400_000)
