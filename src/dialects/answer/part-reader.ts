import { randomUUID } from 'node:crypto'
import { tokensOf } from '../../kiro/models/tokens.ts'
import { MAX_SEALED_CHARS } from '../../kiro/conversation/signed-reasoning.ts'
import { isSignature, saidBytesOf, type UpstreamEvent } from '../../kiro/wire/event.ts'
import type { ReasoningContent } from '../../kiro/wire/payload.ts'
import type { ReplyPlan } from '../plan/plan.ts'
import { Closing, toEndReason } from './answer-end.ts'
import { AnswerText } from './answer-text.ts'
import { CallGate, WaitingEvents } from './call-gate.ts'
import { type AnswerRoom, ENDLESS_ROOM } from './output-text.ts'
import type { EndReason, StreamPart } from './stream-part.ts'
import { ToolCalls, type ToolEvent } from './tool-calls.ts'
import { AnswerLimit, UsageMeter, type UsageMeterOptions } from './usage.ts'

export interface PartReaderOptions {
  /** Tokens of so many UTF-16 units, and UTF-8 bytes beyond them; the local estimate unless given. */
  readonly weigh?: UsageMeterOptions['weigh']
  /** The window of an upstream model, undefined if unknown; asked when another model answers than planned. */
  readonly contextWindowOf?: (modelId: string) => number | undefined
  /** Bounds of the answer's length and of the held part; endless unless given. */
  readonly room?: AnswerRoom
  /** The upstream closes whole answers: one that ends without that was cut (kiro-protocol §5.11). */
  readonly needsClosing?: boolean
}

const NoParts: readonly StreamPart[] = []

/**
 * Makes the parts of one answer from the upstream's events (kiro-protocol §5.5-§6).
 *
 * ```
 *   text ──────▶ AnswerText ──────────────────┐
 *   reasoning ──▶ (only for those who asked) ─┼─▶ parts
 *   tool ──────▶ ToolCalls ──▶ CallGate ──────┘
 * ```
 *
 * Events that arrive while a call is being given out wait for its end. `exception` events are left to the caller.
 */
export class PartReader {
  readonly #plan: ReplyPlan
  readonly #meter: UsageMeter
  readonly #text: AnswerText
  readonly #limit: AnswerLimit
  readonly #tools: ToolCalls
  readonly #calls: CallGate
  readonly #contextWindowOf: (modelId: string) => number | undefined
  readonly #room: AnswerRoom
  readonly #waiting: WaitingEvents
  /** Reason why the answer ended before the model did. A stop string behind the client's limit was never reached. */
  #stop: { readonly by: 'limit' } | { readonly by: 'sequence'; readonly sequence: string } | null =
    null
  /** A call has begun and not ended. */
  #isInCall = false
  #modelId: string
  /** Comes in pieces, and behind the text that it belongs to. */
  #signature = ''
  /** For clients that did not ask for reasoning, and keep it: at the end it parts no text. */
  #opaque: ReasoningContent | null = null
  readonly #closing: Closing
  /** At the model's limit, or lost on the way: then a call may be missing, whatever came before. */
  #cut: 'limit' | 'lost' | null = null

  constructor(plan: ReplyPlan, options: PartReaderOptions = {}) {
    this.#plan = plan
    this.#meter = new UsageMeter({ ...plan, weigh: options.weigh ?? tokensOf })
    this.#limit = new AnswerLimit(plan.maxOutputTokens, () => {
      this.#stop = { by: 'limit' }
    })
    const room = options.room ?? ENDLESS_ROOM
    this.#room = room
    this.#waiting = new WaitingEvents(room)
    this.#text = new AnswerText({
      plan,
      meter: this.#meter,
      limit: this.#limit,
      room,
      onStop: (sequence) => {
        this.#stop = { by: 'sequence', sequence }
      }
    })
    this.#tools = new ToolCalls({
      toolNames: plan.toolNames,
      room,
      onLost: (text) => this.#meter.addText(text)
    })
    this.#calls = new CallGate(this.#limit, plan.asked.isSingleToolCall)
    this.#contextWindowOf = options.contextWindowOf ?? (() => undefined)
    this.#modelId = plan.upstreamModel
    this.#closing = new Closing(options.needsClosing ?? false)
  }

  /** True once the closing event has come. */
  get isClosed(): boolean {
    return this.#closing.isSeen
  }

  /** The model has said something. */
  get hasContent(): boolean {
    return this.#closing.hasContent
  }

  /** Nothing has come that a client could use, nor a reason for that which would be the same the next time. */
  get isVoid(): boolean {
    return !this.isStopped && this.#closing.isVoid
  }

  /** Only the end will still come out (stop string, limit or full room), so the upstream can be left. */
  get isStopped(): boolean {
    return this.#stop !== null || this.#room.isFull
  }

  /** Tokens of the request as the upstream counted them; null while it has not. */
  get measuredInputTokens(): number | null {
    return this.#meter.measuredInput()
  }

  /** Credits that the upstream has charged so far; `null` while it has said nothing of that. */
  get credits(): number | null {
    return this.#meter.credits
  }

  /** Metering has come behind the last of the content: nothing more is to be expected of it. */
  get isMetered(): boolean {
    return this.#closing.isMetered
  }

  /** Tokens of all that the model has said, by the local estimate, heard by the client or not. */
  get saidTokens(): number {
    return this.#meter.saidTokens
  }

  /** Tool calls that the model began, and whose arguments did not come whole. */
  get lostCalls(): number {
    return this.#tools.broken
  }

  push(event: UpstreamEvent): readonly StreamPart[] {
    if (this.#stop !== null) return NoParts
    const bytes = saidBytesOf(event)
    if (!this.#room.say(bytes)) return NoParts
    this.#closing.note(event, bytes)
    return this.#read(event)
  }

  /** Takes in what an event says of the cost, once nothing of the answer comes out any more. */
  overhear(event: UpstreamEvent): void {
    this.#closing.note(event, saidBytesOf(event))
    if (event.type === 'metering') this.#meter.addCredits(event.credits)
    else if (event.type === 'text') this.#meter.addText(event.text)
    else if (event.type === 'reasoning') this.#meter.addReasoning(event.text ?? '')
    else if (event.type === 'tool' && event.input !== undefined)
      this.#meter.addText(
        typeof event.input === 'string' ? event.input : JSON.stringify(event.input)
      )
  }

  #read(event: UpstreamEvent): readonly StreamPart[] {
    const signed = isSignature(event) ? null : this.#takeSignature()
    const parts = this.#readWhole(event)
    return signed === null ? parts : [signed, ...parts]
  }

  #readWhole(event: UpstreamEvent): readonly StreamPart[] {
    switch (event.type) {
      case 'text':
        if (event.modelId !== undefined) this.#noteModel(event.modelId)
        return this.#readText(event)
      case 'reasoning':
        return this.#readReasoning(event)
      case 'tool':
        return this.#readTool(event)
      case 'metadata':
        if (event.tokenUsage !== undefined) this.#meter.addCounts(event.tokenUsage)
        if (event.contextUsagePercentage !== undefined) {
          this.#meter.setPercentage(event.contextUsagePercentage)
        }
        break
      case 'context-usage':
        this.#meter.setPercentage(event.percentage)
        break
      case 'metering':
        this.#meter.addCredits(event.credits)
        break
      case 'exception':
      case 'ignored':
        break
    }
    return NoParts
  }

  /** The clean end of the upstream's answer: what was held, then the `end` part. Call once. */
  end(): readonly StreamPart[] {
    const parts: StreamPart[] = []
    this.#endSignature(parts)
    if (this.#closing.isMissing && !this.isStopped) this.#cut ??= 'lost'
    if (this.#room.isFull) this.#breakOff(parts)
    if (!this.#isInCall && !this.isStopped) this.#endText(parts)
    if (!this.isStopped) this.#deliver(this.#tools.end(this.#cut === 'lost'), parts)
    if (!this.isStopped) this.#endText(parts)
    this.#endSignature(parts)
    // Text before a stop string may still be held, for what it might have become.
    if (this.#stop?.by === 'sequence') this.#text.release(parts)
    if (this.#opaque !== null) parts.push({ type: 'redacted', content: this.#opaque })
    const stop = this.#stop
    const usage = this.#meter.total(stop?.by === 'limit' ? this.#plan.maxOutputTokens : undefined)
    const reason = this.#reason()
    const stopSequence = stop?.by === 'sequence' && { stopSequence: stop.sequence }
    parts.push({ type: 'end', reason, ...stopSequence, usage })
    return parts
  }

  /** Like `end()`, after the upstream broke the answer off: at its output limit (§5.8), or for want of capacity (§5.11). */
  cutOff(cut: 'limit' | 'lost' = 'limit'): readonly StreamPart[] {
    this.#cut = cut
    return this.end()
  }

  #readText(event: Extract<UpstreamEvent, { type: 'text' }>): readonly StreamPart[] {
    const { text } = event
    if (text === '') return NoParts
    return this.#isInCall ? this.#postpone(event) : this.#text.push(text)
  }

  #readReasoning(event: Extract<UpstreamEvent, { type: 'reasoning' }>): readonly StreamPart[] {
    if (this.#isInCall) return this.#postpone(event)
    const { text, signature, opaque } = toThought(event)
    if (this.#plan.reasoning === 'none') {
      if (this.#plan.asked.isSealed === true) this.#opaque = opaque ?? this.#opaque
      if (text !== '') this.#meter.addReasoning(text)
      return NoParts
    }
    const parts: StreamPart[] = []
    this.#text.release(parts)
    if (text !== '') this.#text.reason(text, parts)
    if (this.#signature.length <= MAX_SEALED_CHARS) this.#signature += signature
    if (opaque === null) return parts
    this.#endSignature(parts)
    parts.push({ type: 'redacted', content: opaque })
    return parts
  }

  /** One that is too long to be taken back is not given out. */
  #takeSignature(): StreamPart | null {
    if (this.#signature === '') return null
    const signature = this.#signature
    this.#signature = ''
    return signature.length > MAX_SEALED_CHARS ? null : { type: 'signature', signature }
  }

  #endSignature(out: StreamPart[]): void {
    const signed = this.#takeSignature()
    if (signed !== null) out.push(signed)
  }

  #readTool(event: ToolEvent): readonly StreamPart[] {
    const made = this.#tools.push(event)
    if (made.length === 0) return NoParts
    const parts: StreamPart[] = []
    this.#deliver(made, parts)
    return parts
  }

  /** Blocks can't interleave: what comes inside a call waits until that is out. */
  #postpone(event: UpstreamEvent): readonly StreamPart[] {
    this.#waiting.add(event, saidBytesOf(event))
    return NoParts
  }

  /** The room is full: an open call is cut off, held text is given out. */
  #breakOff(out: StreamPart[]): void {
    if (this.#isInCall) this.#calls.cut(out)
    else if (this.#stop?.by !== 'sequence') this.#text.release(out)
  }

  /** The end: held text may be calls, unless the model made real ones. */
  #endText(out: StreamPart[]): void {
    if (this.#tools.hasSeen) return this.#text.release(out)
    for (const { name, json } of this.#text.end(out)) {
      const id = `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`
      this.#deliver(this.#tools.push({ type: 'tool', id, name, input: json, stop: true }), out)
    }
  }

  #deliver(made: readonly StreamPart[], out: StreamPart[]): void {
    this.#pass(made, out)
    this.#isInCall = this.#calls.isOpen
    if (!this.#isInCall) this.#resume(out)
  }

  #pass(made: readonly StreamPart[], out: StreamPart[]): void {
    for (const [index, part] of made.entries()) {
      if (this.isStopped) return
      if (part.type === 'tool-start') {
        this.#text.release(out)
        if (this.isStopped) return
        this.#meter.addText(part.name)
        this.#calls.start(made, index, out)
      } else if (part.type === 'tool-delta') {
        this.#meter.addText(part.json)
        this.#calls.delta(part.json, out)
      } else if (part.type === 'tool-end') this.#calls.end(part, out)
    }
  }

  #resume(out: StreamPart[]): void {
    for (const event of this.#waiting.take()) {
      if (this.isStopped) return
      for (const part of this.#read(event)) out.push(part)
    }
  }

  #noteModel(modelId: string): void {
    if (modelId === this.#modelId) return
    this.#modelId = modelId
    this.#meter.setContextWindow(this.#contextWindowOf(modelId) ?? this.#plan.contextWindow)
  }

  #reason(): EndReason {
    const { hasWholeCalls, hasCutCalls } = this.#calls
    return toEndReason({
      isStopped: this.#stop?.by === 'sequence',
      isLost: this.#cut === 'lost',
      // Half a call that a client has seen must not end like a whole one, whatever came after it.
      hasToolCall:
        hasWholeCalls && !(hasCutCalls && this.#plan.asked.isStream) && !this.#room.isFull,
      isCutOff:
        this.#cut === 'limit' ||
        this.#tools.broken > 0 ||
        this.#stop?.by === 'limit' ||
        this.#room.isFull,
      isWindowFull: this.#meter.isWindowFull,
      stopReason: this.#closing.stopReason
    })
  }
}

/** Stands for reasoning that comes in a signature alone. */
const PLACEHOLDER = '...'

/** Tells what clients may read from what only the upstream can (kiro-protocol §5.3). */
function toThought({
  text = '',
  signature = '',
  redacted = ''
}: Extract<UpstreamEvent, { type: 'reasoning' }>): {
  readonly text: string
  readonly signature: string
  readonly opaque: ReasoningContent | null
} {
  if (text === PLACEHOLDER && signature !== '') {
    return { text: '', signature: '', opaque: { reasoningText: { text, signature } } }
  }
  return { text, signature, opaque: redacted === '' ? null : { redactedContent: redacted } }
}
