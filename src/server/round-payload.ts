import { extendPayload } from '../dialects/follow-up.ts'
import type { ReplyPlan } from '../dialects/reply-plan.ts'
import type { ToolCall } from '../dialects/tool-parts.ts'
import type { FollowUp } from '../kiro/follow-up.ts'
import { parseJsonObject } from '../kiro/json-object.ts'
import { RequestPayload } from '../upstream/request-payload.ts'
import type { BodyMemory } from './body-memory.ts'
import type { DataPlane } from './data-plane.ts'

export interface RoundPayloadOptions {
  /** A kept one, of the first round. */
  readonly payload: RequestPayload
  readonly plan: ReplyPlan
  /** Grows with the payload. */
  readonly memory: BodyMemory
}

/** What a round came to, for the next one. */
export interface RoundWords {
  /** What the model said. */
  readonly text: string
  /** What it called, by the client's names. */
  readonly calls: readonly ToolCall[]
  /** What it is told. */
  readonly reply: FollowUp['reply']
  /** Tokens of the model's words that the client got. */
  readonly deliveredTokens: number
}

/** What the next round of an answer is asked with: the conversation so far, and the plan for what is said to it. */
export class RoundPayload {
  readonly #plane: DataPlane
  readonly #memory: BodyMemory
  #payload: RequestPayload
  #plan: ReplyPlan

  constructor(plane: DataPlane, { payload, plan, memory }: RoundPayloadOptions) {
    this.#plane = plane
    this.#memory = memory
    this.#payload = payload
    this.#plan = plan
  }

  get plan(): ReplyPlan {
    return this.#plan
  }

  /** The payload for a round that others may follow. */
  keep(): RequestPayload {
    return this.#payload
  }

  /** The payload for the last round: let go as soon as its answer begins. */
  hand(): RequestPayload {
    const last = new RequestPayload(this.#payload.bytes)
    this.#payload.drop()
    return last
  }

  /** There will be no more rounds. */
  drop(): void {
    this.#payload.drop()
  }

  /** @throws {GatewayError} GW_MEMORY_FULL; the signal's reason when the client has left. */
  extend({ text, calls, reply, deliveredTokens }: RoundWords): void {
    const answer = { text, toolCalls: this.#toWireCalls(calls) }
    // Before it is there; what stands around it is little.
    const addedBytes = Buffer.byteLength(JSON.stringify({ answer, reply }))
    this.#memory.growTo(this.#payload.bytes.byteLength + addedBytes)
    const { bytes, tokens } = extendPayload(this.#payload.bytes, { answer, reply })
    this.#payload.drop()
    this.#payload = new RequestPayload(bytes, { isKept: true })
    this.#memory.growTo(bytes.byteLength)
    const { upstreamModel, maxOutputTokens } = this.#plan
    this.#plan = {
      ...this.#plan,
      inputTokens: this.#plane.calibration.correct(upstreamModel, tokens),
      ...(maxOutputTokens !== undefined && {
        maxOutputTokens: Math.max(1, maxOutputTokens - deliveredTokens)
      })
    }
  }

  #toWireCalls(calls: readonly ToolCall[]): FollowUp['answer']['toolCalls'] {
    const renamed = Object.entries(this.#plan.toolNames)
    const wireNames = new Map(renamed.map(([wireName, name]) => [name, wireName]))
    return calls.map(({ id, name, json }) => ({
      id,
      name: wireNames.get(name) ?? name,
      input: parseJsonObject(json) ?? {}
    }))
  }
}
