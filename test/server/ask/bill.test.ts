import t, { type Test } from 'tap'
import { Bill } from '../../../src/server/ask/bill.ts'
import type { AttemptOutcome } from '../../../src/server/ask/attempt.ts'
import { Charge } from '../../../src/server/primary/key-limits.ts'
import { WorkerPrices } from '../../../src/keys/prices.ts'
import { Progress } from '../../../src/server/worker/open-turns.ts'
import { Share } from '../../../src/admission/allowances.ts'
import { MICROS_PER_CREDIT as CREDIT } from '../../../src/keys/key.ts'
import { BUILT_IN_CATALOGUE } from '../../../src/kiro/models/models.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { replyPlan } from '../../helper/reply-plan.ts'

const ANSWERED: AttemptOutcome = { name: 'answered' }

function failed(
  code: 'GW_CLIENT_CLOSED' | 'GW_UPSTREAM_RESET' | 'GW_ANSWER_TOO_LARGE',
  phase: 'connecting' | 'sent' | 'answering' = 'answering'
): AttemptOutcome {
  return { name: 'failed', error: new GatewayError(code), fault: null, phase }
}

type Call = Parameters<Bill['add']>[0]
type Members = Partial<Omit<Call, 'meter'> & Pick<Call['meter'], 'credits'>>

function call({ credits = 4, ...members }: Members = {}): Call {
  const meter = { credits, saidTokens: 100 }
  return { reading: null, isReadOut: true, isRefused: false, ...members, meter }
}

const UNMETERED = { credits: null, isReadOut: false }

interface Settings {
  readonly isKnown?: boolean
  readonly hasLimit?: boolean
}

/** A bill of a model whose answers of 100 tokens cost 4 credits, where that is known; one credit is reserved. */
function bill({ isKnown = true, hasLimit = true }: Settings = {}) {
  const prices = new WorkerPrices({ send: () => {} })
  const plan = replyPlan({})
  const { upstreamModel: model, inputTokens } = plan
  if (isKnown) prices.learn({ model, inputTokens, outputTokens: 100 }, 4 * CREDIT)
  const settled: number[] = []
  const share = new Share(CREDIT, 0, (cost) => settled.push(cost))
  const turn = isKnown ? null : new Share(1, 0, () => {})
  const charge = hasLimit ? new Charge(share, turn) : null
  const client = new AbortController()
  const progress = new Progress()
  const plane = { prices, models: { catalogue: BUILT_IN_CATALOGUE } }
  const made = new Bill({ plane, plan, progress, signal: client.signal, charge })
  const estimate = () => prices.estimate({ model, inputTokens }, CREDIT)
  return { bill: made, settled, progress, client, estimate }
}

/** What one call costs, in credits, and how that is known. */
function costOf(t: Test, settings: Settings, one: Call, outcome: AttemptOutcome, hasLeft = false) {
  const { bill: own, settled, progress, client } = bill(settings)
  if (hasLeft) client.abort(new GatewayError('GW_CLIENT_CLOSED'))
  own.add(one, outcome)
  t.same(settled, [])
  own.close()
  if (settings.hasLimit !== false) t.equal(settled[0], progress.charged)
  return [(settled[0] ?? progress.metered) / CREDIT, progress.metering] as const
}

t.test('Bill', (t) => {
  t.test('is what was metered, or measured where nothing was', (t) => {
    const cases: readonly [string, Call, AttemptOutcome, boolean, number, string | null][] = [
      ['metered', call({ credits: 5 }), ANSWERED, false, 5, 'metered'],
      ['free', call({ credits: 0 }), ANSWERED, false, 0, 'metered'],
      ['whole, not metered', call({ credits: null }), ANSWERED, false, 4, 'measured'],
      ['cut', call(UNMETERED), ANSWERED, false, 4, 'measured'],
      ['metered in part', call({ credits: 1, isReadOut: false }), ANSWERED, false, 4, 'measured'],
      [
        'more than measured',
        call({ credits: 6, isReadOut: false }),
        ANSWERED,
        false,
        6,
        'measured'
      ],
      ['left', call(UNMETERED), failed('GW_CLIENT_CLOSED'), true, 4, 'measured'],
      ['left when metered', call(), failed('GW_CLIENT_CLOSED'), true, 4, 'metered'],
      ['left unsent', call(UNMETERED), failed('GW_CLIENT_CLOSED', 'connecting'), true, 0, null],
      [
        'left and refused',
        call({ ...UNMETERED, isRefused: true }),
        failed('GW_CLIENT_CLOSED', 'sent'),
        true,
        0,
        null
      ],
      ['too long for us', call(UNMETERED), failed('GW_ANSWER_TOO_LARGE'), false, 4, 'measured'],
      ['broken', call(UNMETERED), failed('GW_UPSTREAM_RESET'), false, 0, null],
      ['broken, metered', call({ credits: 2 }), failed('GW_UPSTREAM_RESET'), false, 2, 'metered']
    ]
    for (const [what, one, outcome, hasLeft, credits, how] of cases) {
      for (const hasLimit of [true, false])
        t.same(costOf(t, { hasLimit }, one, outcome, hasLeft), [credits, how], what)
    }
    t.end()
  })

  t.test('is what was reserved where no price is known', (t) => {
    const left = [call(UNMETERED), failed('GW_CLIENT_CLOSED'), true] as const
    t.same(costOf(t, { isKnown: false }, ...left), [1, 'measured'])
    t.same(costOf(t, { isKnown: false, hasLimit: false }, ...left), [0, null])
    t.end()
  })

  t.test('is settled once all that is read on is metered, and teaches a price', async (t) => {
    const { bill: own, settled, progress, client, estimate } = bill({ isKnown: false })
    t.equal(own.isUnpriced, true)
    const metered = Promise.withResolvers<void>()
    const one = { ...call(UNMETERED), reading: metered.promise }
    client.abort(new GatewayError('GW_CLIENT_CLOSED'))
    own.add(one, failed('GW_CLIENT_CLOSED'))
    own.close()
    t.same([settled, progress.charged], [[], 0])
    Object.assign(one, call({ credits: 8 }))
    t.equal(estimate().isUnknown, true)
    metered.resolve()
    await progress.owed
    t.same([settled, progress.charged, progress.metering], [[8 * CREDIT], 8 * CREDIT, 'read on'])
    t.match(estimate(), { credits: 8 * CREDIT, isUnknown: false })
  })

  t.test('teaches the listed price once three whole answers were not metered', (t) => {
    const { bill: own, estimate } = bill({ isKnown: false })
    const unmetered = call({ credits: null })
    for (let n = 0; n < 2; n++) own.add(unmetered, ANSWERED)
    for (let n = 0; n < 5; n++) own.add(call(UNMETERED), ANSWERED) // cut: it may have been metered
    t.ok(estimate().isUnknown)
    own.add(unmetered, ANSWERED)
    t.notOk(estimate().isUnknown)
    own.close()
    t.end()
  })

  t.test('names the least exact of its calls', (t) => {
    const { bill: own, progress } = bill()
    own.add(call(UNMETERED), ANSWERED)
    own.add(call(), ANSWERED)
    own.close()
    t.same([progress.charged, progress.metering], [8 * CREDIT, 'measured'])
    t.end()
  })
  t.end()
})
