import { isEffort, type Effort } from '../kiro/effort.ts'
import type { Source } from '../kiro/message.ts'
import type { ReasoningWish } from '../kiro/reasoning.ts'
import type { Repairs } from '../kiro/repairs.ts'
import { invalidPart } from './json-body.ts'

/** OpenAI takes 4 stop strings; every part of an answer is searched for all of them. */
const MAX_STOPS = 16
const MAX_STOP_CHARS = 4096

/** What asks a model without JSON mode for JSON (kiro-protocol §9.9). */
export function jsonInstruction(schema: unknown): string {
  const form =
    'Your final answer must be one valid JSON value and nothing else: no words around it and no Markdown code fence. ' +
    'This does not keep you from calling tools before.'
  return schema === undefined || schema === null
    ? form
    : `${form} It must match this JSON Schema:\n${JSON.stringify(schema)}`
}

/** A wish for reasoning by effort alone: `none` says no, an unknown word says yes without saying how much. */
export function effortWish(effort: string, repairs: Repairs, source?: Source): ReasoningWish {
  if (effort === 'none') return { mode: 'off' }
  const known = knownEffort(effort, repairs, source)
  return known === undefined ? { mode: 'on' } : { mode: 'on', effort: known, source }
}

/** The effort that a client's word names, in any case. */
export function knownEffort(word: string, repairs: Repairs, source?: Source): Effort | undefined {
  const effort = word.toLowerCase()
  if (isEffort(effort)) return effort
  repairs.note('effort-clamped', source)
  return undefined
}

/**
 * The strings that end an answer, without empty ones. `path` leads to them.
 *
 * @throws {GatewayError} GW_BODY_INVALID for more or longer ones than are looked for.
 */
export function readStops(
  stops: string | readonly string[] | null | undefined,
  path: string
): readonly string[] {
  if (typeof stops === 'string') return readStop(stops, path)
  if (stops === undefined || stops === null) return []
  if (stops.length > MAX_STOPS) {
    throw invalidPart(path, `must have at most ${MAX_STOPS} stop strings, not ${stops.length}`)
  }
  return stops.flatMap((stop, index) => readStop(stop, `${path}[${index}]`))
}

function readStop(stop: string, path: string): readonly string[] {
  if (stop.length > MAX_STOP_CHARS) {
    const problem = `must have at most ${MAX_STOP_CHARS} characters, not ${stop.length}`
    throw invalidPart(path, problem)
  }
  return stop === '' ? [] : [stop]
}
