import t from 'tap'
import { reportText } from '../chaos/report.ts'
import { runChaos } from '../chaos/run-chaos.ts'
import { violationsOf } from '../chaos/violations.ts'
import { isNightly } from '../helper/nightly.ts'

/** Storms that are short, always of the same seed; `npm run chaos` runs it for hours, and with others. */
const BY_DAY = { workers: 2, seconds: 12, tls: true, clients: 40 }
const BY_NIGHT = [
  { workers: 2, seconds: 12, tls: true, clients: 250 },
  { workers: 4, seconds: 12, tls: false, clients: 250 }
]
const RUNS = isNightly ? BY_NIGHT : [BY_DAY]
/** For starting, for the last answers and for rest, on a busy machine. */
const PATIENCE_S = 280

t.setTimeout(1000 * RUNS.reduce((sum, { seconds }) => sum + seconds + PATIENCE_S, 0))

for (const { workers, seconds, tls, clients } of RUNS) {
  const wire = tls ? ' over TLS' : ''
  t.test(`the connection budget holds in chaos, with ${workers} workers${wire}`, async (t) => {
    t.setTimeout(1000 * (seconds + PATIENCE_S))
    const ended = new AbortController()
    t.teardown(() => ended.abort(new Error('the test is over')))
    const findings = await runChaos({
      seconds,
      workers,
      tls,
      clients,
      seed: 20_261_125,
      onProgress: (line) => t.comment(line),
      signal: ended.signal
    })
    for (const line of reportText(findings).trimEnd().split('\n')) t.comment(line)
    t.same(violationsOf(findings), [])
    t.ok(findings.seconds >= seconds, 'it lasted as long as it should')
    t.ok(findings.kills > 0, 'workers were killed')
    t.ok(findings.resizes > 0, 'the budget was changed')
    t.ok(findings.upstream.reused > 0, 'connections were reused')
    if (tls) t.ok(findings.upstream.resumed > 0, 'TLS sessions were resumed')
  })
}
