import { deepEqual, equal, notEqual, ok } from 'node:assert/strict'
import t from 'tap'
import * as book from '../../src/fleet/limit-register.ts'
import type { LimitRegister } from '../../src/fleet/limit-register.ts'
import * as fc from '../helper/fast-check.ts'
import { LIMIT_MUTANTS } from './limit-mutants.ts'
import { mutateFleet } from './refresh-mutants.ts'

type Rules = typeof book

const SIZE = { limit: 10, replicas: 3 }
const NAMES = ['a', 'b', 'c'] as const
const EMPTY: LimitRegister = { period: 1, seats: {} }
/** As many as may have a seat. */
const CROWD = Array.from({ length: 128 }, (_, at) => `n${at}`)

function selfOf(name: string, no = 0) {
  return { self: { inc: `${name}${no}`, era: 'era', rev: 1 }, size: SIZE, isKnown: () => false }
}

function seated({ withSelf }: Rules, ...names: readonly string[]): LimitRegister {
  return names.reduce((before, name) => withSelf(before, name, selfOf(name)), EMPTY)
}

function partsOf({ partOf }: Rules, of: LimitRegister, names: readonly string[] = NAMES) {
  return names.map((name) => partOf(of, name, SIZE))
}

const sumOf = (parts: readonly number[]): number => parts.reduce((sum, part) => sum + part, 0)

const aName = fc.constantFrom(...NAMES, 'd')
const aGift = fc.record({ from: aName, to: aName, amount: fc.integer({ min: -5, max: 20 }) })

/** What must hold, each by itself: it throws where it does not. */
const RULES: Readonly<Record<string, (rules: Rules) => void>> = {
  'whatever is given, all parts are the limit': (rules) => {
    fc.assert(
      fc.property(fc.array(aGift), fc.integer({ min: 0, max: 20 }), (gifts, limit) => {
        const size = { limit, replicas: 3 }
        let given = seated(rules, ...NAMES, 'd')
        for (const one of gifts) if (one.from !== one.to) given = rules.withGift(given, one)
        return sumOf([...NAMES, 'd'].map((name) => rules.partOf(given, name, size))) === limit
      })
    )
    deepEqual(partsOf(rules, seated(rules, ...NAMES)), [4, 3, 3], 'the first have the odd ones')
    deepEqual(partsOf(rules, seated(rules, 'c', 'b', 'a')), [3, 3, 4])
    equal(rules.partOf(seated(rules, ...NAMES, 'd'), 'd', SIZE), 0, 'one too many has nothing')
    equal(rules.partOf(EMPTY, 'a', SIZE), 0)
    const gift = { from: 'a', to: 'b', amount: 2 }
    const twice = rules.withGift(rules.withGift(seated(rules, ...NAMES), gift), gift)
    deepEqual(partsOf(rules, twice), [0, 7, 3])
    const less = rules.withGift(twice, { ...gift, amount: -1 })
    equal(less, twice, 'nobody takes')
  },
  'of two that came at once the first by name is first': (rules) => {
    const both = rules.joinRegisters(seated(rules, 'b'), seated(rules, 'a'))
    deepEqual(partsOf(rules, both), [4, 3, 0])
  },
  'each that comes has a number of its own': (rules) => {
    const numbers = Object.values(seated(rules, 'c', 'a', 'b').seats).map(({ no }) => no)
    deepEqual(numbers, [1, 2, 3])
  },
  'books that are joined know what both know': (rules) => {
    const { joinRegisters, isToldIn, withGift, withWant } = rules
    const all = seated(rules, ...NAMES)
    const given = withGift(all, { from: 'a', to: 'b', amount: 2 })
    const stale = withWant(all, 'c', 3)
    for (const joined of [joinRegisters(given, stale), joinRegisters(stale, given)]) {
      deepEqual(partsOf(rules, joined), [2, 5, 3])
      ok(isToldIn(given, joined))
    }
    equal(joinRegisters(given, stale).seats['c']?.want, 3, 'wishes are as they were found')
    deepEqual(
      partsOf(rules, joinRegisters(given, EMPTY)),
      [2, 5, 3],
      'also where all was forgotten'
    )
    equal(joinRegisters(stale, EMPTY).seats['c']?.want, 0, 'but for wishes')
    ok(!isToldIn(given, null))
    ok(!isToldIn(given, stale))
    ok(isToldIn(EMPTY, null))
    ok(!isToldIn(given, { ...EMPTY, seats: {} }))
    ok(isToldIn(stale, given), 'a wish is nothing to know')
  },
  'of two reports the one that says more counts, whichever comes first': (rules) => {
    const amounts = fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9), fc.nat(9))
    const report = ([toB, toC, lost, no]: readonly number[]): LimitRegister => {
      const all = seated(rules, ...NAMES)
      const a = {
        ...all.seats['a'],
        gave: { b: toB ?? 0, c: toC ?? 0 },
        lost: lost ?? 0,
        no: no ?? 0
      }
      return { ...all, seats: { ...all.seats, a: a as LimitRegister['seats'][string] } }
    }
    fc.assert(
      fc.property(amounts, amounts, (one, other) => {
        const both = [
          rules.joinRegisters(report(one), report(other)),
          rules.joinRegisters(report(other), report(one))
        ]
        for (const joined of both) {
          const { gave, lost, no } = joined.seats['a'] ?? {}
          deepEqual(gave, { b: Math.max(one[0], other[0]), c: Math.max(one[1], other[1]) })
          deepEqual([lost, no], [Math.max(one[2], other[2]), Math.min(one[3], other[3])])
          for (const known of [report(one), report(other)]) ok(rules.isToldIn(known, joined))
        }
        const knowsLess = one.slice(0, 3).some((amount, at) => amount > (other[at] ?? 0))
        return rules.isToldIn(report(one), report(other)) === !knowsLess
      })
    )
  },
  'with another period all begins anew': (rules) => {
    const { joinRegisters, isToldIn } = rules
    const before = rules.withGift(seated(rules, ...NAMES), { from: 'a', to: 'b', amount: 2 })
    const next = { ...EMPTY, period: 2 }
    equal(joinRegisters(before, next), next)
    equal(joinRegisters(next, before), next)
    ok(isToldIn(before, next))
    ok(!isToldIn(next, before))
    const begun = { ...seated(rules, 'c'), period: 2 }
    deepEqual(partsOf(rules, joinRegisters(before, begun)), [0, 0, 4])
    deepEqual(partsOf(rules, joinRegisters(begun, before)), [0, 0, 4])
    ok(!isToldIn(begun, before))
  },
  'who comes after an earlier process': (rules) => {
    const { withGift, withHeritage, withSelf, partOf, withWant } = rules
    const all = withWant(seated(rules, ...NAMES), 'a', 2)
    const given = withGift(all, { from: 'b', to: 'c', amount: 1 })
    const known = withSelf(given, 'a', { ...selfOf('a', 1), isKnown: (inc) => inc === 'a0' })
    equal(partOf(known, 'a', SIZE), 4, 'goes on with all of it, if it knows what was used')
    equal(known.seats['a']?.want, 0, 'and wants nothing yet')
    const unknown = withSelf(given, 'a', selfOf('a', 1))
    equal(partOf(unknown, 'a', SIZE), 0, 'or with nothing')
    equal(withSelf(unknown, 'a', selfOf('a', 1)), unknown)
    const third = withSelf(unknown, 'a', selfOf('a', 2))
    equal(partOf(third, 'a', SIZE), 0, 'and so does the one after that')
    const rich = withGift(third, { from: 'b', to: 'a', amount: 2 })
    equal(partOf(withSelf(rich, 'a', selfOf('a', 3)), 'a', SIZE), 0)
    const debtor = withGift(all, { from: 'a', to: 'b', amount: 6 })
    equal(partOf(withSelf(debtor, 'a', selfOf('a', 1)), 'a', SIZE), -2, 'a debt stays')
    const heir = withHeritage(given, 'c', { size: SIZE, isGone: ({ inc }) => inc === 'a0' })
    deepEqual(partsOf(rules, heir), [0, 2, 8])
    const none = withHeritage(given, 'c', { size: SIZE, isGone: () => false })
    equal(none, given)
  },
  'what is wanted becomes less by what is given': (rules) => {
    const wanting = rules.withWant(seated(rules, ...NAMES), 'b', 3)
    const given = rules.withGift(wanting, { from: 'a', to: 'b', amount: 2 })
    equal(given.seats['b']?.want, 1)
    equal(rules.withGift(given, { from: 'a', to: 'b', amount: 2 }).seats['b']?.want, 0)
    equal(rules.withWant(given, 'b', 1), given)
    equal(rules.withWant(given, 'x', 1), given)
  },
  'a debt is a need': (rules) => {
    const { withGift, withWant, wantsIn } = rules
    const given = withGift(seated(rules, ...NAMES), { from: 'b', to: 'a', amount: 3 })
    const small = { limit: 3, replicas: 3 }
    const short = wantsIn(given, 'a', small).map(({ name, part, want, due }) => [
      name,
      part,
      want,
      due
    ])
    deepEqual(short, [['b', -2, 2, 2]])
    const wanting = withWant(withWant(given, 'c', 4), 'b', 1)
    const needs = wantsIn(wanting, 'a', SIZE).map(({ name, want, due }) => [name, want, due])
    deepEqual(
      needs,
      [
        ['b', 1, 1],
        ['c', 4, 0]
      ],
      'who has least is first'
    )
    const first = withWant(seated(rules, ...NAMES), 'c', 4)
    deepEqual(
      wantsIn(first, 'a', SIZE).map(({ due }) => due),
      [0],
      'it has its part by right'
    )
    deepEqual(wantsIn(first, 'c', SIZE), [], 'nobody gives to itself')
  },
  'as many have a seat as can be read': (rules) => {
    const { withSelf, parseLimitRegister, isFullFor, partOf } = rules
    const full = seated(rules, ...CROWD)
    deepEqual(parseLimitRegister(JSON.stringify(full)), full)
    equal(Object.keys(full.seats).length, CROWD.length)
    ok(isFullFor(full, 'more'))
    ok(!isFullFor(full, 'n7'))
    ok(!isFullFor(seated(rules, ...CROWD.slice(1)), 'more'))
    equal(withSelf(full, 'more', selfOf('more')), full, 'one more has none')
    equal(partOf(full, 'more', SIZE), 0)
    const after = withSelf(full, 'n7', selfOf('n7', 1))
    equal(after.seats['n7']?.inc, 'n71', 'who has one keeps it')
  },
  'books that are joined can be read, and give nothing back': (rules) => {
    const { joinRegisters, parseLimitRegister, withGift } = rules
    const size = { limit: 300, replicas: 3 }
    const others = seated(rules, 'n0', ...Array.from({ length: 127 }, (_, at) => `m${at}`))
    const given = withGift(seated(rules, ...CROWD), { from: 'n0', to: 'n127', amount: 5 })
    for (const joined of [joinRegisters(given, others), joinRegisters(others, given)]) {
      notEqual(parseLimitRegister(JSON.stringify(joined)), null)
      equal(joined.seats['n127'], undefined, 'the last has no seat')
      equal(rules.partOf(joined, 'n0', size), 95, 'and what it was given is given')
      ok(joined.seats['n1'] !== undefined && joined.seats['m0'] !== undefined)
      ok(sumOf(Object.keys(joined.seats).map((name) => rules.partOf(joined, name, size))) <= 300)
    }
  },
  'no more is given than can be read': (rules) => {
    const gave = Object.fromEntries(CROWD.map((name) => [`x${name}`, 1]))
    const all = seated(rules, ...NAMES)
    const a = { ...all.seats['a'], gave } as LimitRegister['seats'][string]
    const spent = { ...all, seats: { ...all.seats, a } }
    equal(rules.withGift(spent, { from: 'a', to: 'b', amount: 1 }), spent)
  },
  'what stands in Valkey may be anything': (rules) => {
    const good = JSON.stringify(seated(rules, 'a'))
    deepEqual(rules.parseLimitRegister(good), seated(rules, 'a'))
    const crowd = JSON.parse(JSON.stringify(seated(rules, ...CROWD))) as LimitRegister
    const hostile = [
      '',
      'null',
      '[]',
      '{}',
      '{"period":1}',
      '{"period":-1,"seats":{}}',
      '{"period":1e99,"seats":{}}',
      '{"period":1,"seats":[]}',
      good.replace('"a"', '"../a"'),
      good.replace('"a"', '"__proto__"'),
      good.replace('"want":0', '"want":-1'),
      good.replace('"want":0', '"want":"1"'),
      good.replace('"lost":0', '"lost":1e300'),
      good.replace('"lost":0', `"lost":${2 ** 51}`),
      good.replace('"gave":{}', '"gave":{"b":0.5}'),
      good.replace('"gave":{}', '"gave":[]'),
      good.replace('"a0"', '7'),
      JSON.stringify({ ...crowd, seats: { ...crowd.seats, more: crowd.seats['n1'] } })
    ]
    for (const text of hostile) equal(rules.parseLimitRegister(text), null, text.slice(0, 80))
  }
}

t.test('a limit that gateways keep together', async (t) => {
  for (const [rule, check] of Object.entries(RULES)) t.doesNotThrow(() => check(book), rule)
})

t.test('a fault in the rules is found', async (t) => {
  for (const mutant of LIMIT_MUTANTS) {
    const broken = (await mutateFleet(mutant, ['limit-register.ts'])) as Rules
    const found = Object.entries(RULES).find(([, check]) => {
      try {
        check(broken)
        return false
      } catch {
        return true
      }
    })
    t.ok(found, `${mutant.story}: ${found?.[0]}`)
  }
})
