import type { Test } from 'tap'
import type { DialectName } from '../../src/dialects/dialect.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { convert } from '../helper/convert.ts'
import { simulatorOptions, toAnswer } from '../helper/request-options.ts'
import type { FieldRow } from './field-table.ts'
import { flatPlan } from '../helper/reply-plan.ts'
import { summaryKeys } from '../helper/reply-plan.ts'

type Json = Record<string, unknown>

/** How to see what becomes of one field. */
export interface Probe {
  /** Members of the request that has the field. */
  readonly with: Json
  /** Members of the request that lacks it, where that is more than the base request. */
  readonly without?: Json
  /** What the upstream is sent because of the field, and is not sent without it. */
  readonly sent?: string
  /** What the gateway remembers for the answer because of it. */
  readonly plan?: object
  /** It has to be fetched, or turned into text, before anything is sent. */
  readonly isGot?: boolean
  /** What the refusal names, where that is not the field as its row writes it. */
  readonly refusedAt?: string
}

export type Probes = Readonly<Record<string, Probe>>

/** A dialect's probes, and the smallest request that they are added to. */
export interface Probed {
  readonly dialect: DialectName
  readonly base: Json
  readonly probes: Probes
}

const options = simulatorOptions({
  sendsDocuments: true,
  compaction: { ...summaryKeys, isCall: false },
  answers: [
    toAnswer({
      msg_kept: { type: 'message', role: 'assistant', content: 'KEPT-WORDS' },
      resp_kept: { output: ['msg_kept'] },
      'resp_kept.input': { before: [], items: [{ role: 'user', content: 'hi' }] }
    })
  ]
})

/** Checks by what becomes of a request that a field is treated as its row says. */
export function checkTreatment(t: Test, row: FieldRow, { dialect, base, probes }: Probed): void {
  const probe = probes[row.field]
  if (probe === undefined) throw new Error(`${row.field} has no probe`)
  const outcome = outcomeOf(dialect, { ...base, ...probe.with })
  if (row.treatment === 'refused') return checkRefusal(t, probe.refusedAt ?? row.field, outcome)
  if (outcome instanceof Error) {
    if (!probe.isGot || !/has to be fetched/.test(outcome.message)) throw outcome
    return void t.equal(row.treatment, 'emulated')
  }
  const bare = outcomeOf(dialect, { ...base, ...probe.without })
  if (bare instanceof Error) throw bare
  const made = outcome.plan.repairs.filter((code) => !bare.plan.repairs.includes(code))
  const named = [...row.note.matchAll(/repair `([a-z-]+)`/g)].map(([, code]) => code)
  t.same(made, named, 'the repairs that the note names, and no other')
  const isSent = JSON.stringify(outcome.payload) !== JSON.stringify(bare.payload)
  const isPlanned = toText(outcome.plan) !== toText(bare.plan)
  if (row.treatment === 'ignored') {
    t.same(outcome.payload, bare.payload, 'the upstream is sent the same')
    t.equal(toText(outcome.plan), toText(bare.plan), 'the answer is the same')
    const isRepeated =
      JSON.stringify(outcome.plan.asked.own.echo) !== JSON.stringify(bare.plan.asked.own.echo)
    t.equal(isRepeated, row.note.includes('repeated in the response'), 'as the note says')
  } else if (row.treatment === 'mapped') {
    t.ok(isSent, 'the upstream is sent something else')
  } else t.ok(isSent || isPlanned, 'something is done about it')
  if (probe.sent !== undefined) {
    t.ok(JSON.stringify(outcome.payload).includes(probe.sent), `${probe.sent} is sent`)
    t.notOk(JSON.stringify(bare.payload).includes(probe.sent), `without it ${probe.sent} is not`)
  }
  if (probe.plan !== undefined) t.match(flatPlan(outcome.plan), probe.plan)
}

type Outcome = ReturnType<typeof convert> | Error

function outcomeOf(dialect: DialectName, request: Json): Outcome {
  try {
    return convert(dialect, request, options)
  } catch (error) {
    if (error instanceof GatewayError) return error
    throw error
  }
}

/** Says with 400 which part of the request it is. */
function checkRefusal(t: Test, name: string, outcome: Outcome): void {
  if (!(outcome instanceof GatewayError)) throw new Error('it was taken')
  t.equal(outcome.status, 400)
  t.equal(outcome.param, name)
  t.ok(outcome.message.includes(name) || outcome.details !== undefined)
}

/** All that decides about the answer, but for what is only repeated, counted or listed. */
function toText(plan: Exclude<Outcome, Error>['plan']): string {
  const {
    echo: _echo,
    inputTokens: _tokens,
    repairs: _repairs,
    borderline: _rules,
    asked: _asked,
    own: _own,
    ...rest
  } = flatPlan(plan)
  return JSON.stringify({ ...rest, keptBytes: 0 })
}
