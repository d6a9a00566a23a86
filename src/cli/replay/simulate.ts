import { judgeRequest } from '../../simulator/generation.ts'
import { parseJsonObject } from '../../shared/json.ts'
import type { RecordedCall, RecordedTurn } from './capture-reader.ts'

export interface SimulatedVerdict {
  readonly call: number
  readonly kind: RecordedCall['kind']
  readonly status: number
  readonly isTaken: boolean
  readonly message: string | null
  readonly rule: string | null
}

const TAKEN = { status: 200, isTaken: true, message: null, rule: null }
const NO_JSON = {
  status: 400,
  isTaken: false,
  message: 'The body is not a JSON object.',
  rule: null
}

/** Judges recorded requests by the upstream's rules, but not signatures and profiles. */
export function simulate({ calls }: RecordedTurn): readonly SimulatedVerdict[] {
  return calls.map((call, index) => ({ call: index + 1, kind: call.kind, ...judge(call) }))
}

function judge({ kind, form, body }: RecordedCall) {
  const text = body.toString()
  if (kind === 'mcp') return parseJsonObject(text) === null ? NO_JSON : TAKEN
  const refusal = judgeRequest(text, form)
  if (refusal === null) return TAKEN
  const { status, message, rule, violation } = refusal
  return {
    status,
    isTaken: false,
    message,
    rule: rule === undefined ? null : `${rule}: ${violation}`
  }
}
