import type { TurnFacts } from '../../ipc/usage-row.ts'
import type { FailureFacts } from '../../shared/failing.ts'
import { asJsonObject, type JsonObject, parseJsonObject } from '../../shared/json.ts'

/*
 * The column `facts` says how one request went: JSON with short names and without zeros. A plain answer takes some 100
 * bytes, a failure at most 2 KB.
 */

export type RowFacts = Pick<
  TurnFacts,
  'route' | 'isStream' | 'phaseMs' | 'attempts' | 'bodyBytes' | 'repairs'
> & {
  readonly worker: number | null
  readonly modelAsked: string | null
  readonly lostCalls: number
  readonly failure: KeptFailure | null
}

export type KeptFailure = Omit<FailureFacts, 'detail'>

const MAX_ROUTE_CHARS = 64
const MAX_MODEL_CHARS = 128

export function factsText(turn: TurnFacts): string {
  const { route, isStream, phaseMs, attempts, worker, bodyBytes, repairs, failure } = turn
  const phases = Object.entries(phaseMs)
    .map(([name, ms]) => [name, Math.round(ms)] as const)
    .filter(([, ms]) => ms > 0)
  return JSON.stringify({
    r: route.slice(0, MAX_ROUTE_CHARS),
    ...(isStream && { s: 1 }),
    ...(phases.length > 0 && { p: Object.fromEntries(phases) }),
    ...(attempts > 0 && { a: attempts }),
    w: worker,
    b: bodyBytes,
    ...(repairs.length > 0 && { x: repairs }),
    ...(turn.modelAsked !== undefined && { m: turn.modelAsked.slice(0, MAX_MODEL_CHARS) }),
    ...((turn.lostCalls ?? 0) > 0 && { l: turn.lostCalls }),
    // The detail is for the log alone.
    ...(failure !== undefined && {
      f: [failure.reason, failure.upstreamStatus, failure.upstreamId]
    })
  })
}

/** Reads what `factsText()` wrote; rows of earlier versions have none. */
export function parseFacts(text: string): RowFacts {
  const facts = parseJsonObject(text) ?? {}
  const { r, s, p, a, w, b, x, m, l, f } = facts
  return {
    route: typeof r === 'string' ? r : '',
    isStream: s === 1,
    phaseMs: numbersOf(asJsonObject(p) ?? {}),
    attempts: numberOf(a) ?? 0,
    worker: numberOf(w),
    bodyBytes: numberOf(b) ?? 0,
    repairs: Array.isArray(x) ? x.map(String) : [],
    modelAsked: typeof m === 'string' ? m : null,
    lostCalls: numberOf(l) ?? 0,
    failure: Array.isArray(f) ? failureOf(f) : null
  }
}

function failureOf([reason, status, id]: readonly unknown[]): KeptFailure {
  return {
    reason: typeof reason === 'string' ? reason : '',
    upstreamStatus: numberOf(status),
    upstreamId: typeof id === 'string' ? id : null
  }
}

function numbersOf(object: JsonObject): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(object).map(([name, ms]) => [name, numberOf(ms) ?? 0]))
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}
