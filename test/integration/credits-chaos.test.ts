import t from 'tap'
import { creditsText } from '../chaos/credits/credits-text.ts'
import { runCredits } from '../chaos/credits/run-credits.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(1_800_000) // real processes, on a machine that may be busy

t.test(
  'used credits are the same everywhere, whatever is done to the gateway',
  { skip: skipByDay },
  async (t) => {
    const ended = new AbortController()
    t.teardown(() => ended.abort(new Error('the test is over')))
    const findings = await runCredits({
      seconds: 600,
      seed: 24,
      clients: 2,
      pauseMs: 2_000,
      onProgress: (line) => t.comment(line),
      signal: ended.signal
    })
    for (const line of creditsText(findings).trimEnd().split('\n')) t.comment(line)
    t.same(findings.violations, [])
    t.ok(findings.metered > 50, 'answers were metered')
    t.ok(findings.done['kill-worker'] > 0 && findings.done['kill-gateway'] > 0)
    t.ok(findings.comparisons > 1)
  }
)
