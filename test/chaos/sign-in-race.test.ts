import t from 'tap'
import { isNightly, skipByDay } from '../helper/nightly.ts'
import { runRace } from './race/race.ts'

t.setTimeout(300_000) // real processes, on a machine that may be busy

const SOURCES = isNightly ? (['file', 'database'] as const) : (['database'] as const)

for (const source of SOURCES) {
  t.test(`two clusters, an IDE and a CLI renew one sign-in, kept in a ${source}`, async (t) => {
    const report = await runRace({ seconds: 6, source, seed: 7, clients: 8, areStrangers: false })
    t.same(report.violations, [])
    t.ok(report.renewals >= 3, `${report.renewals} renewals`)
    t.ok(report.requests >= 20, `${report.requests} requests`)
    t.comment(JSON.stringify(report))
  })
}

t.test('no request fails while tokens of 3 s take 3 s to renew', { skip: skipByDay }, async (t) => {
  const terms = { source: 'file', seed: 7, clients: 8, areStrangers: false, kind: 'slow' } as const
  const report = await runRace({ seconds: 10, ...terms })
  t.same(report.violations, [])
  t.ok(report.renewals >= 2, `${report.renewals} renewals`)
  t.ok(report.requests >= 20, `${report.requests} requests`)
})
