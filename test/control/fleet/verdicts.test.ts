import { deepEqual } from 'node:assert/strict'
import t from 'tap'
import {
  type AccountVerdict,
  laterBy,
  mergeVerdicts,
  parseVerdicts,
  SUBJECTS,
  toVerdict
} from '../../../src/control/fleet/verdicts.ts'
import * as fc from '../../helper/fast-check.ts'

const VERDICT: AccountVerdict = {
  n: 1,
  by: 'a',
  leftMs: 1_000,
  code: 'GW_UPSTREAM_QUOTA',
  message: '',
  of: '',
  times: 0
}

const verdict = fc
  .record({ n: fc.nat(4), by: fc.constantFrom('a', 'b', 'c'), leftMs: fc.nat(5) })
  .map((one) => ({ ...VERDICT, ...one }))
const verdicts = fc.dictionary(fc.constantFrom(...SUBJECTS), verdict)

t.test('what is merged does not depend on order or repetition', async () => {
  fc.assert(
    fc.property(verdicts, verdicts, verdicts, (a, b, c) => {
      const ab = mergeVerdicts(a, b)
      deepEqual(mergeVerdicts(b, a), ab)
      deepEqual(mergeVerdicts(ab, a), ab)
      deepEqual(mergeVerdicts(ab, c), mergeVerdicts(a, mergeVerdicts(b, c)))
    })
  )
})

t.test('what may stand in a record is read as it was written', async () => {
  fc.assert(
    fc.property(verdicts, fc.double({ noNaN: true }), (all, leftMs) => {
      const clean = Object.fromEntries(
        Object.entries(all).map(([subject, one]) => [subject, toVerdict({ ...one, leftMs })])
      )
      deepEqual(parseVerdicts(JSON.stringify(clean)), clean)
    })
  )
})

t.test('the words of a refusal are left where an older gateway has written them', async (t) => {
  const written = JSON.stringify({
    daily: { ...VERDICT, message: 'The limit of anna is reached.' }
  })
  t.same(parseVerdicts(written), { daily: VERDICT })
})

t.test('every verdict is written with the text that older gateways demand', async (t) => {
  const { message, ...unworded } = VERDICT
  const found = parseVerdicts(JSON.stringify({ daily: unworded })) ?? {}
  const merged = mergeVerdicts(found, { suspended: toVerdict(unworded) })
  t.match(JSON.parse(JSON.stringify(merged)), { daily: { message }, suspended: { message } })
})

t.test('the newest of a subject counts, and what is over stays over', async (t) => {
  const over = { ...VERDICT, n: 2, by: 'b', leftMs: 0 }
  t.same(mergeVerdicts({ daily: VERDICT }, { daily: over, rate: VERDICT }), {
    daily: over,
    rate: VERDICT
  })
  t.same(laterBy({ daily: VERDICT }, 400), { daily: { ...VERDICT, leftMs: 600 } })
  t.same(laterBy({ daily: VERDICT }, 4_000), { daily: { ...VERDICT, leftMs: 0 } })
  t.same(laterBy({ daily: VERDICT }, -5), { daily: VERDICT }, 'Valkey’s clock was set back')
})

t.test('what is none is not believed', async (t) => {
  const bad: readonly unknown[] = [
    null,
    [],
    { daily: null },
    { daily: { ...VERDICT, n: -1 } },
    { daily: { ...VERDICT, n: 1e300 } },
    { daily: { ...VERDICT, n: '1' } },
    { daily: { ...VERDICT, leftMs: 367 * 86_400_000 } },
    { daily: { ...VERDICT, leftMs: null } },
    { daily: { ...VERDICT, code: 'GW_NONE' } },
    { daily: { ...VERDICT, code: 'toString' } },
    { daily: { ...VERDICT, by: 'x'.repeat(65) } },
    { daily: { ...VERDICT, times: 1e9 } }
  ]
  for (const one of bad) t.equal(parseVerdicts(JSON.stringify(one)), null, JSON.stringify(one))
  t.same(parseVerdicts('{"of another version":1}'), {})
  t.equal(parseVerdicts('{'), null)
})
