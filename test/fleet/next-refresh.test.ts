import { deepEqual, equal, notEqual, ok } from 'node:assert/strict'
import t from 'tap'
import * as core from '../../src/fleet/next-refresh.ts'
import type { RefreshEvent, RefreshState } from '../../src/fleet/next-refresh.ts'
import * as record from '../../src/fleet/sign-in-record.ts'
import type { SignInFacts } from '../../src/fleet/sign-in-record.ts'
import type { Instant } from '../../src/shared/elapsed.ts'
import { mutateRefresh, REFRESH_MUTANTS, type RefreshRules } from './refresh-mutants.ts'

const times = core.refreshTimes(1_800_000)
const proof = (token: string): string => record.proofOf(token, 'kiro')

/** So many seconds from the start, by a clock of the wall that may be set. */
function at(seconds: number, aheadS = 0): Instant {
  return { mono: seconds * 1000, wall: (seconds + aheadS) * 1000, up: seconds * 1000 }
}

/** A gateway that has seen these facts at second 0, in a fleet that is complete. */
function gateway({ core: rules }: RefreshRules, facts: SignInFacts, self = 'a'): RefreshState {
  return told(rules, rules.newRefreshState(self, { own: facts, filed: proof('r1') }), [
    { type: 'fleet', isOpen: true, at: at(0) },
    seen(facts)
  ])
}

function seen(
  facts: SignInFacts | null,
  { rev = 1, run = 'run', at: when = at(0), isNewer = false, isForeign = false } = {}
): RefreshEvent {
  return { type: 'seen', run, rev, facts, isNewer, isForeign, at: when }
}

function told(rules: typeof core, state: RefreshState, events: readonly RefreshEvent[]) {
  return events.reduce((before, event) => rules.nextRefresh(before, event), state)
}

const sought = (seconds: number, isUseless = false, aheadS = 0) => ({
  now: at(seconds, aheadS),
  isUseless,
  times
})

/** Takes the turn, at second 10. */
function taken(rules: RefreshRules, state: RefreshState) {
  const step = rules.core.turnFor(state, sought(10))
  ok(step.type === 'take' && !step.isSecond)
  const { facts } = step
  const asked = told(rules.core, state, [{ type: 'asked', facts, at: at(10) }])
  const acknowledged = told(rules.core, asked, [
    seen(facts, { rev: 2, at: at(11) }),
    { type: 'granted' }
  ])
  return { facts, asked, acknowledged }
}

/** What must hold, each by itself: it throws where it does not. */
const RULES: Readonly<Record<string, (rules: RefreshRules) => void>> = {
  'a token is presented under an acknowledged turn, in its time': (rules) => {
    const { core: one } = rules
    const { facts, asked, acknowledged } = taken(rules, gateway(rules, first(rules)))
    equal(one.presentableMs(asked, at(10), times), 0)
    equal(one.presentableMs(acknowledged, at(10), times), 240_000)
    equal(one.presentableMs(acknowledged, at(249), times), 1_000)
    equal(one.presentableMs(acknowledged, at(250), times), 0)
    equal(one.presentableMs(acknowledged, at(20, 3600), times), 0, 'the machine has slept')
    const presented = told(one, acknowledged, [{ type: 'presented' }])
    equal(one.presentableMs(presented, at(12), times), 0, 'once')
    const further = { ...facts, holder: 'b', fence: facts.fence + 1 }
    const overtaken = told(one, acknowledged, [seen(further, { rev: 3 })])
    equal(one.presentableMs(overtaken, at(12), times), 0)
  },
  'each turn has a fence of its own': (rules) => {
    const { facts } = taken(rules, gateway(rules, first(rules)))
    equal(facts.fence, 1)
    equal(facts.holder, 'a')
    equal(facts.phase, 'presenting')
  },
  'others wait for the end of the turn, and then for the end of the access token': (rules) => {
    const { facts } = taken(rules, gateway(rules, first(rules)))
    const other = told(rules.core, gateway(rules, first(rules), 'b'), [
      seen(facts, { rev: 2, at: at(11) })
    ])
    const turnFor = (seconds: number, isUseless: boolean, aheadS = 0) =>
      rules.core.turnFor(other, sought(seconds, isUseless, aheadS))
    deepEqual(turnFor(12, true), { type: 'wait', ms: 299_000, why: 'holder' })
    deepEqual(turnFor(12, true, 86_400), { type: 'wait', ms: 299_000, why: 'holder' })
    deepEqual(turnFor(311, false), { type: 'wait', ms: Infinity, why: 'doubt' })
    const second = turnFor(311, true)
    ok(second.type === 'take' && second.isSecond && second.facts.fence === 2)
  },
  'who has presented and heard nothing is in doubt like the others': (rules) => {
    const { acknowledged } = taken(rules, gateway(rules, first(rules)))
    const presented = told(rules.core, acknowledged, [{ type: 'presented' }])
    equal(rules.core.turnFor(presented, sought(12, true)).type, 'wait')
    const second = rules.core.turnFor(presented, sought(311, true))
    ok(second.type === 'take' && second.isSecond)
  },
  'who knows that nothing more can come waits for the end of the access token alone': (rules) => {
    const { acknowledged, facts } = taken(rules, gateway(rules, first(rules)))
    const presented = told(rules.core, acknowledged, [{ type: 'presented' }])
    equal(rules.core.turnFor(presented, sought(12, true)).type, 'wait', 'an answer may come')
    let lost = told(rules.core, presented, [{ type: 'lost' }])
    deepEqual(rules.core.turnFor(lost, sought(12)), { type: 'wait', ms: Infinity, why: 'doubt' })
    equal(rules.core.presentableMs(lost, at(12), times), 0)
    for (let tries = 2, seconds = 12; tries <= 3; tries += 1, seconds += 10) {
      const step = rules.core.turnFor(lost, sought(seconds, true))
      ok(step.type === 'take' && step.isSecond, 'a second time, which is said')
      lost = told(rules.core, lost, [
        { type: 'asked', facts: step.facts, at: at(seconds) },
        seen(step.facts, { rev: tries + 1, at: at(seconds) }),
        { type: 'granted' },
        { type: 'presented' },
        { type: 'lost' }
      ])
    }
    const fourth = rules.core.turnFor(lost, sought(30, true))
    ok(fourth.type === 'take')
    const often = told(rules.core, lost, [
      { type: 'asked', facts: fourth.facts, at: at(30) },
      seen(fourth.facts, { rev: 5, at: at(30) }),
      { type: 'granted' },
      { type: 'presented' },
      { type: 'lost' }
    ])
    equal(rules.core.turnFor(often, sought(31, true)).type, 'wait', 'others may do better')
    equal(rules.core.turnFor(often, sought(331, true)).type, 'take')
    const further = { ...facts, holder: 'b', fence: facts.fence + 1 }
    const overtaken = told(rules.core, told(rules.core, presented, [{ type: 'lost' }]), [
      seen(further, { rev: 3, at: at(12) })
    ])
    equal(rules.core.turnFor(overtaken, sought(13, true)).type, 'wait', 'for the other')
  },
  'who has not presented takes the turn again, and nobody else': (rules) => {
    const { acknowledged, facts } = taken(rules, gateway(rules, first(rules)))
    const again = rules.core.turnFor(acknowledged, sought(251))
    ok(again.type === 'take' && !again.isSecond)
    // The next process of the same name knows nothing of it.
    const next = told(rules.core, gateway(rules, first(rules)), [
      seen(facts, { rev: 2, at: at(11) })
    ])
    equal(rules.core.turnFor(next, sought(12, true)).type, 'wait')
  },
  'another process of Valkey is believed when the others have had time to say more': (rules) => {
    const facts = first(rules)
    const other = told(rules.core, gateway(rules, facts), [
      seen(facts, { run: 'other', at: at(20) })
    ])
    deepEqual(rules.core.turnFor(other, sought(20.5)), { type: 'wait', ms: 500, why: 'settling' })
    equal(rules.core.turnFor(other, sought(21)).type, 'take')
    const missing = told(rules.core, other, [{ type: 'fleet', isOpen: false, at: at(20) }])
    equal(rules.core.turnFor(missing, sought(21)).type, 'wait', 'somebody is missing')
    equal(rules.core.turnFor(missing, sought(320)).type, 'take')
  },
  'a Valkey that knows less is told, the phase included': (rules) => {
    const facts = first(rules)
    const { acknowledged } = taken(rules, gateway(rules, facts))
    for (const lost of [null, facts]) {
      const state = told(rules.core, acknowledged, [seen(lost, { run: 'other', at: at(20) })])
      deepEqual(rules.core.publication(state), acknowledged.own)
      notEqual(rules.core.turnFor(state, sought(400)).type, 'take', 'nobody presents meanwhile')
    }
    const renewed = rules.record.renewedFacts(facts, proof('r2'))
    const ahead = told(rules.core, gateway(rules, renewed), [
      seen(facts, { run: 'other', at: at(20) })
    ])
    deepEqual(rules.core.publication(ahead), renewed)
  },
  'a Valkey that knows more is followed': (rules) => {
    const facts = first(rules)
    const { acknowledged, facts: turn } = taken(rules, gateway(rules, facts))
    const renewed = told(rules.core, acknowledged, [
      { type: 'presented' },
      { type: 'renewed', proof: proof('r2') }
    ])
    equal(renewed.own?.gen, 2)
    equal(renewed.own?.phase, 'idle')
    const other = told(rules.core, gateway(rules, turn, 'b'), [seen(renewed.own, { rev: 3 })])
    deepEqual(other.own, renewed.own)
    equal(rules.core.publication(other), null)
    equal(rules.core.newSignIn(other, proof('r1')), null, 'the file is of an earlier one')
  },
  'an old copy of a file is no new sign-in': (rules) => {
    let facts = first(rules)
    for (let one = 2; one < 60; one += 1) facts = rules.record.renewedFacts(facts, proof(`r${one}`))
    const state = gateway(rules, facts)
    const changed = { ...state, filed: proof('something') }
    for (const old of ['r1', 'r17', 'r58', 'r59'])
      equal(rules.core.newSignIn(changed, proof(old)), null)
    const unknown = { ...state, filed: '' }
    equal(rules.core.newSignIn(unknown, proof('x')), null, 'nor one that was always there')
  },
  'a file that has changed is a new sign-in, and ends what was before': (rules) => {
    const facts = first(rules)
    const state = gateway(rules, facts)
    const next = rules.core.newSignIn(state, proof('n1'))
    ok(next !== null && next.gen === 2 && next.phase === 'idle')
    const after = told(rules.core, gateway(rules, facts, 'b'), [seen(next, { rev: 2 })])
    deepEqual(after.own, next)
    equal(rules.core.newSignIn(after, proof('r1')), null, 'what was before never comes back')
    const { acknowledged } = taken(rules, gateway(rules, facts))
    const late = told(rules.core, acknowledged, [
      { type: 'presented' },
      seen(next, { rev: 3 }),
      { type: 'renewed', proof: proof('r2') }
    ])
    deepEqual(late.own, next, 'nor what was got for it meanwhile')
  },
  'a token that is dead is tried by nobody': (rules) => {
    const { acknowledged } = taken(rules, gateway(rules, first(rules)))
    const dead = told(rules.core, acknowledged, [{ type: 'presented' }, { type: 'refused' }])
    const other = told(rules.core, gateway(rules, first(rules), 'b'), [seen(dead.own, { rev: 3 })])
    equal(rules.core.turnFor(other, sought(1_000, true)).type, 'refused')
    ok(rules.core.newSignIn({ ...other, filed: '' }, proof('x')) !== null, 'any other will do')
  },
  'what is none of ours stays for a moment, and is nothing to begin with': (rules) => {
    const own = told(rules.core, gateway(rules, first(rules)), [
      seen(null, { rev: 9, at: at(5), isForeign: true })
    ])
    ok(rules.core.isHeldBack(own, at(5.9)))
    ok(!rules.core.isHeldBack(own, at(6)))
    const fresh = told(rules.core, rules.core.newRefreshState('c'), [
      seen(null, { isForeign: true })
    ])
    equal(rules.core.newSignIn(fresh, proof('r1')), null)
  },
  'nothing begins before the record was read, nor where a newer version has written it': (
    rules
  ) => {
    const { core: one } = rules
    const unread = one.newRefreshState('c')
    equal(one.newSignIn(unread, proof('r1')), null)
    const newer = told(one, unread, [seen(null, { isNewer: true })])
    equal(one.newSignIn(newer, proof('r1')), null)
    const empty = told(one, unread, [seen(null)])
    equal(one.newSignIn(empty, ''), null, 'without a token')
    notEqual(one.newSignIn(empty, proof('r1')), null)
  }
}

function first({ record: rules }: RefreshRules): SignInFacts {
  return rules.newSignInFacts(null, proof('r1'))
}

t.test('which gateway renews', async (t) => {
  for (const [rule, check] of Object.entries(RULES)) {
    t.doesNotThrow(() => check({ core, record }), rule)
  }
})

t.test('a fault in the rules is found', async (t) => {
  for (const mutant of REFRESH_MUTANTS) {
    const rules = await mutateRefresh(mutant)
    const broken = Object.entries(RULES).filter(([, check]) => {
      try {
        check(rules)
        return false
      } catch {
        return true
      }
    })
    t.ok(broken.length > 0, `${mutant.story}: ${broken.map(([rule]) => rule).join('; ')}`)
  }
})
