import { toPointer } from '../../shared/json.ts'
import type { Message, Source } from '../wire/message.ts'
import type { UpstreamTool } from '../wire/payload.ts'
import type { RepairCode } from './repair-table.ts'
import { type RuleId, UpstreamLimits } from './rules.ts'

const MAX_PLACES = 100

export class Repairs {
  readonly #codes = new Set<RepairCode>()

  /** `at`: path as in error messages, or a JSON pointer; `below`: member names. Only `PlacedRepairs` reads them. */
  note(code: RepairCode, _at?: string, _below?: readonly string[]): void {
    this.#codes.add(code)
  }

  get codes(): readonly RepairCode[] {
    return [...this.#codes]
  }
}

export class PlacedRepairs extends Repairs {
  readonly #places = new Map<RepairCode, Set<string>>()

  override note(code: RepairCode, at = '', below: readonly string[] = []): void {
    super.note(code)
    const pointers = this.#places.get(code) ?? new Set()
    if (pointers.size < MAX_PLACES) pointers.add(toPointer(at, below))
    this.#places.set(code, pointers)
  }

  get places(): readonly { readonly code: RepairCode; readonly pointer: string }[] {
    return [...this.#places].flatMap(([code, pointers]) =>
      [...pointers].map((pointer) => ({ code, pointer }))
    )
  }
}

export interface Borderline {
  readonly rule: RuleId
  readonly message: string
  readonly pointer: string
}

const NEAR = 0.9
/** Characters at which Kiro's own client begins to cut messages and results (kiro-protocol §4.12). */
const CUT_CHARS = 400_000
const LONG_DESCRIPTION_CHARS = 10_000
const BASE64_RATIO = 4 / 3

export function borderlineTurns(turns: readonly Message[]): readonly Borderline[] {
  const found: Borderline[] = []
  const {
    historyEntries,
    messageChars,
    resultChars,
    imageBytes,
    images: maxImages
  } = UpstreamLimits
  let images = 0
  for (const turn of turns) {
    images += turn.images.length
    if (turn.role === 'user' && turn.text.length > CUT_CHARS) {
      const size = `A user turn has ${turn.text.length} characters`
      found.push(near('turn-length', `${size}; at most ${messageChars} are taken.`, turn.source))
    }
    for (const { text, source } of turn.toolResults) {
      if (text.length <= CUT_CHARS) continue
      const size = `A tool result has ${text.length} characters`
      found.push(near('result-length', `${size}; at most ${resultChars} are taken.`, source))
    }
    for (const { source } of turn.images) {
      const bytes = Math.floor(source.bytes.length / BASE64_RATIO)
      if (bytes < imageBytes * NEAR) continue
      const size = `An image has ${bytes} bytes`
      found.push(near('image-size', `${size}; at most ${imageBytes} are taken.`, turn.source))
    }
  }
  if (images >= maxImages * NEAR) {
    found.push(near('image-count', `There are ${images} images; at most ${maxImages} are taken.`))
  }
  if (turns.length >= historyEntries * NEAR) {
    const size = `The conversation has ${turns.length} turns`
    found.push(near('history-length', `${size}; at most ${historyEntries} are taken.`))
  }
  return found
}

interface BorderlineTools {
  readonly tools: readonly UpstreamTool[]
  readonly deepestSchema: { readonly depth: number; readonly source?: Source }
}

export function borderlineTools({ tools, deepestSchema }: BorderlineTools): readonly Borderline[] {
  const found: Borderline[] = []
  const { tools: maxTools, schemaDepth, descriptionChars } = UpstreamLimits
  if (tools.length > maxTools) {
    const size = `There are ${tools.length} tools`
    found.push(near('tool-count', `${size}; refusals are reported above ${maxTools}.`, 'tools'))
  }
  for (const { toolSpecification } of tools) {
    const { name, description } = toolSpecification
    if (description.length <= LONG_DESCRIPTION_CHARS) continue
    const size = `The description of ${name} has ${description.length} characters`
    const known = `at most ${descriptionChars} are known to be taken`
    found.push(near('tool-description-length', `${size}; ${known}.`, 'tools'))
  }
  if (deepestSchema.depth >= schemaDepth * NEAR) {
    const size = `A tool schema nests ${deepestSchema.depth} deep`
    found.push(
      near('tool-schema-depth', `${size}; at most ${schemaDepth} are taken.`, deepestSchema.source)
    )
  }
  return found
}

/** `weight`: at least `weighBytes()` of the body. */
export function borderlineSize(
  sent: Readonly<Record<'bytes' | 'weight' | 'tokens' | 'contextWindow', number>>
): readonly Borderline[] {
  const found: Borderline[] = []
  const { payloadBytes, payloadWeight } = UpstreamLimits
  const { bytes, weight, tokens, contextWindow } = sent
  if (bytes >= payloadBytes * NEAR) {
    const size = `The body has ${bytes} bytes`
    found.push(near('payload-size', `${size}; refusals are reported above ${payloadBytes}.`))
  }
  if (weight >= payloadWeight * NEAR) {
    const size = `The body weighs about ${weight} (1 for an ASCII character, 8 for any other)`
    found.push(near('payload-weight', `${size}; at most about ${payloadWeight} are taken.`))
  }
  if (tokens >= contextWindow * NEAR) {
    const size = `The request has about ${tokens} tokens`
    found.push(near('context-window', `${size}; the model takes ${contextWindow}.`))
  }
  return found
}

function near(rule: RuleId, message: string, at = ''): Borderline {
  return { rule, message, pointer: toPointer(at) }
}
