import { randomUUID } from 'node:crypto'
import { familyOf } from '../../kiro/tokens/request-tokens.ts'
import { type AnswerCounter, TextCounter } from '../../kiro/tokens/text-counter.ts'
import { MAX_SEALED_CHARS } from '../../kiro/conversation/signed-reasoning.ts'
import { isSignature, saidBytesOf, type UpstreamEvent } from '../../kiro/wire/event.ts'
import type { ReasoningContent } from '../../kiro/wire/payload.ts'
import type { ReplyPlan } from '../plan/plan.ts'
import { CallGate, WaitingEvents, ToolCalls, type ToolEvent } from './tool-calls.ts'
import { type AnswerRoom, ENDLESS_ROOM } from './output-text.ts'
import type { EndReason, StreamPart } from './stream-part.ts'
import { AnswerLimit, UsageMeter } from './usage.ts'
import { type TextCall, TextCalls } from './text-calls.ts'
import {
  JsonFence,
  StopSequences,
  type TextStage,
  ThinkingTags,
  type ThinkingSplit
} from './text-stages.ts'

export interface PartReaderOptions {
  /** Counts the answer. Default: as the model does, by what was learnt of it. */
  readonly newCounter?: () => AnswerCounter
  /** Window of an upstream model, undefined if unknown; asked when another model answers than planned. */
  readonly contextWindowOf?: (modelId: string) => number | undefined
  readonly room?: AnswerRoom
  /** The upstream closes whole answers: one without a close was cut (kiro-protocol §5.11). */
  readonly needsClosing?: boolean
}

const NoParts: readonly StreamPart[] = []

interface AnsweredCalls {
  readonly tools: ToolCalls
  readonly gate: CallGate
  /** Events that came while a call was being written. */
  readonly waiting: WaitingEvents
}

/**
 * Makes the parts of one answer from the upstream's events (kiro-protocol §5.5-§6).
 *
 *   text ──────▶ AnswerText ───────────────────┐
 *   reasoning ──▶ (only if the client asked) ──┼─▶ parts
 *   tool ──────▶ ToolCalls ──▶ CallGate ───────┘
 *
 * Events that arrive while a call is being written wait for its end. `exception` events are left to the caller.
 */
export class PartReader {
  readonly #plan: ReplyPlan
  /** Cost of the answer. */
  readonly meter: UsageMeter
  readonly #text: AnswerText
  readonly #limit: AnswerLimit
  /** `null` before the first tool call: most answers have none. */
  #calls: AnsweredCalls | null = null
  readonly #contextWindowOf: (modelId: string) => number | undefined
  readonly #room: AnswerRoom
  /** Why the answer ended before the model did. A stop string behind the client's limit was never reached. */
  #stop: { readonly by: 'limit' } | { readonly by: 'sequence'; readonly sequence: string } | null =
    null
  #isInCall = false
  #modelId: string
  /** Comes in pieces, after the text that it signs. */
  #signature = ''
  /** Reasoning for clients that did not ask for it: written at the end, where it splits no text. */
  #opaque: ReasoningContent | null = null
  readonly #closing: Closing
  /** A call may be missing: the model's limit was met, or the connection lost. */
  #cut: 'limit' | 'lost' | null = null

  constructor(plan: ReplyPlan, options: PartReaderOptions = {}) {
    this.#plan = plan
    const { upstreamModel, gauge, inputTokens, contextWindow } = plan
    const family = familyOf(upstreamModel)
    const { newCounter = () => new TextCounter(family, gauge?.scale) } = options
    const given = gauge === undefined ? {} : { gauge }
    this.meter = new UsageMeter({ inputTokens, contextWindow, ...given, newCounter })
    this.#limit = new AnswerLimit(plan.maxOutputTokens, newCounter(), () => {
      this.#stop = { by: 'limit' }
    })
    const room = options.room ?? ENDLESS_ROOM
    this.#room = room
    this.#text = new AnswerText({
      plan,
      meter: this.meter,
      limit: this.#limit,
      room,
      onStop: (sequence) => {
        this.#stop ??= { by: 'sequence', sequence } // the limit may be met before it in the same piece
      }
    })
    this.#contextWindowOf = options.contextWindowOf ?? (() => undefined)
    this.#modelId = plan.upstreamModel
    this.#closing = new Closing(options.needsClosing ?? false)
  }

  get isClosed(): boolean {
    return this.#closing.isSeen
  }

  get hasContent(): boolean {
    return this.#closing.hasContent
  }

  /** Nothing usable has come, and no reason that asking again would repeat. */
  get isVoid(): boolean {
    return !this.isStopped && this.#closing.isVoid
  }

  get isStopped(): boolean {
    return this.#stop !== null || this.#room.isFull
  }

  /** Metering has come behind the last content; no more of it will come. */
  get isMetered(): boolean {
    return this.#closing.isMetered
  }

  get lostCalls(): number {
    return this.#calls?.tools.broken ?? 0
  }

  push(event: UpstreamEvent): readonly StreamPart[] {
    if (this.#stop !== null) return NoParts
    const bytes = saidBytesOf(event)
    if (!this.#room.say(bytes)) return NoParts
    this.#closing.note(event, bytes)
    return this.#read(event)
  }

  overhear(event: UpstreamEvent): void {
    this.#closing.note(event, saidBytesOf(event))
    if (event.type === 'metering') this.meter.addCredits(event.credits)
    else if (event.type === 'text') this.meter.addText(event.text)
    else if (event.type === 'reasoning') this.meter.addReasoning(event.text ?? '')
    else if (event.type === 'tool' && event.input !== undefined)
      this.meter.addText(
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
        if (event.tokenUsage !== undefined) this.meter.addCounts(event.tokenUsage)
        if (event.contextUsagePercentage !== undefined) {
          this.meter.setPercentage(event.contextUsagePercentage)
        }
        break
      case 'context-usage':
        this.meter.setPercentage(event.percentage)
        break
      case 'metering':
        this.meter.addCredits(event.credits)
        break
      case 'exception':
      case 'ignored':
        break
    }
    return NoParts
  }

  /** Ends an answer that came whole; call once. */
  end(): readonly StreamPart[] {
    const parts: StreamPart[] = []
    this.#endSignature(parts)
    if (this.#closing.isMissing && !this.isStopped) this.#cut ??= 'lost'
    if (this.#room.isFull) this.#breakOff(parts)
    if (!this.#isInCall && !this.isStopped) this.#endText(parts)
    if (!this.isStopped && this.#calls !== null)
      this.#deliver(this.#calls.tools.end(this.#cut === 'lost'), parts)
    if (!this.isStopped) this.#endText(parts)
    this.#endSignature(parts)
    if (this.#stop?.by === 'sequence') this.#text.release(parts)
    if (this.#opaque !== null) parts.push({ type: 'redacted', content: this.#opaque })
    const stop = this.#stop
    const usage = this.meter.total(stop?.by === 'limit' ? this.#plan.maxOutputTokens : undefined)
    const reason = this.#reason()
    const stopSequence = stop?.by === 'sequence' && { stopSequence: stop.sequence }
    parts.push({ type: 'end', reason, ...stopSequence, usage })
    return parts
  }

  /** Ends an answer that the upstream broke off: at its output limit (§5.8) or for lack of capacity (§5.11). */
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
    if (text === '') this.meter.noteUnseenReasoning()
    if (this.#plan.reasoning === 'none') {
      if (this.#plan.asked.isSealed === true) this.#opaque = opaque ?? this.#opaque
      if (text !== '') this.meter.addReasoning(text)
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
    const made = this.#startedCalls().tools.push(event)
    if (made.length === 0) return NoParts
    const parts: StreamPart[] = []
    this.#deliver(made, parts)
    return parts
  }

  /** Defers what comes inside a call: blocks cannot interleave. */
  #postpone(event: UpstreamEvent): readonly StreamPart[] {
    this.#startedCalls().waiting.add(event, saidBytesOf(event))
    return NoParts
  }

  /** Cuts an open call off and releases held text, because the room is full. */
  #breakOff(out: StreamPart[]): void {
    if (this.#isInCall) this.#calls?.gate.cut(out)
    else if (this.#stop?.by !== 'sequence') this.#text.release(out)
  }

  #endText(out: StreamPart[]): void {
    if (this.#calls?.tools.hasSeen === true) return this.#text.release(out)
    for (const { name, json } of this.#text.end(out)) {
      const id = `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`
      const { tools } = this.#startedCalls()
      this.#deliver(tools.push({ type: 'tool', id, name, input: json, stop: true }), out)
    }
  }

  #startedCalls(): AnsweredCalls {
    const { toolNames, asked } = this.#plan
    const room = this.#room
    this.#calls ??= {
      tools: new ToolCalls({ toolNames, room, onLost: (text) => this.meter.addText(text) }),
      gate: new CallGate(this.#limit, asked.isSingleToolCall),
      waiting: new WaitingEvents(room)
    }
    return this.#calls
  }

  #deliver(made: readonly StreamPart[], out: StreamPart[]): void {
    const { gate, waiting } = this.#startedCalls()
    this.#pass(made, gate, out)
    this.#isInCall = gate.isOpen
    if (!this.#isInCall) this.#resume(waiting, out)
  }

  #pass(made: readonly StreamPart[], gate: CallGate, out: StreamPart[]): void {
    for (const [index, part] of made.entries()) {
      if (this.isStopped) return
      if (part.type === 'tool-start') {
        this.#text.release(out)
        if (this.isStopped) return
        this.meter.addText(part.name)
        gate.start(made, index, out)
      } else if (part.type === 'tool-delta') {
        this.meter.addText(part.json)
        gate.delta(part.json, out)
      } else if (part.type === 'tool-end') gate.end(part, out)
    }
  }

  #resume(waiting: WaitingEvents, out: StreamPart[]): void {
    for (const event of waiting.take()) {
      if (this.isStopped) return
      for (const part of this.#read(event)) out.push(part)
    }
  }

  #noteModel(modelId: string): void {
    if (modelId === this.#modelId) return
    this.#modelId = modelId
    this.meter.setContextWindow(this.#contextWindowOf(modelId) ?? this.#plan.contextWindow)
  }

  #reason(): EndReason {
    const { hasWholeCalls = false, hasCutCalls = false } = this.#calls?.gate ?? {}
    return toEndReason({
      isStopped: this.#stop?.by === 'sequence',
      isLost: this.#cut === 'lost',
      // A client that has half a call must not see a normal end, whatever came after it.
      hasToolCall:
        hasWholeCalls && !(hasCutCalls && this.#plan.asked.isStream) && !this.#room.isFull,
      isCutOff:
        this.#cut === 'limit' ||
        this.lostCalls > 0 ||
        this.#stop?.by === 'limit' ||
        this.#room.isFull,
      isWindowFull: this.meter.isWindowFull,
      stopReason: this.#closing.stopReason
    })
  }
}

const PLACEHOLDER = '...'

/** Separates what clients may read from what only the upstream can (kiro-protocol §5.3). */
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

interface AnswerTextOptions {
  readonly plan: ReplyPlan
  readonly meter: UsageMeter
  readonly limit: AnswerLimit
  readonly room: AnswerRoom
  readonly onStop: (sequence: string) => void
}

const NoCalls: readonly TextCall[] = []

/**
 * Passes the model's text on through the stages that the request needs, so that only these delay it.
 *
 *   thinking tags ─▶ stop strings ─▶ code fence ─▶ calls written as text ─▶ client's limit
 */
export class AnswerText {
  readonly #meter: UsageMeter
  readonly #limit: AnswerLimit
  readonly #tags: ThinkingTags | null
  readonly #calls: TextCalls | null
  readonly #stages: readonly TextStage[]
  #isStopped = false

  constructor({ plan, meter, limit, room, onStop }: AnswerTextOptions) {
    const { stopSequences, isJsonAnswer } = plan.asked
    const offersTools = Object.keys(plan.textCallForms).length > 0
    this.#meter = meter
    this.#limit = limit
    this.#tags = plan.reasoning === 'tags' ? new ThinkingTags() : null
    this.#calls = offersTools && !isJsonAnswer ? new TextCalls(plan.textCallForms, room) : null
    const stop = (sequence: string): void => {
      this.#isStopped = true
      onStop(sequence)
    }
    this.#stages = [
      ...(stopSequences.length > 0 ? [new StopSequences(stopSequences, stop)] : []),
      ...(isJsonAnswer ? [new JsonFence(room)] : []),
      ...(this.#calls === null ? [] : [this.#calls]),
      ...(limit.isNone ? [] : [limit])
    ]
  }

  push(text: string): readonly StreamPart[] {
    if (this.#tags === null) return this.#pass(text)
    const out: StreamPart[] = []
    this.#passSplit(this.#tags.push(text), out)
    return out
  }

  reason(text: string, out: StreamPart[]): void {
    this.#meter.addReasoning(text)
    const fitting = this.#limit.push(text)
    if (fitting !== '') out.push({ type: 'reasoning', text: fitting })
  }

  release(out: StreamPart[]): void {
    this.#releaseStages((stage) => stage.release(), out)
  }

  /** Ends an answer without real calls: held text may be calls. */
  end(out: StreamPart[]): readonly TextCall[] {
    let found = NoCalls
    const endOf = (stage: TextStage): string => {
      if (stage === this.#calls && !this.#isStopped) found = this.#calls.takeCalls()
      return stage.release()
    }
    this.#releaseStages(endOf, out)
    return found
  }

  #releaseStages(heldOf: (stage: TextStage) => string, out: StreamPart[]): void {
    if (this.#tags !== null) this.#passSplit(this.#tags.release(), out)
    let text = ''
    for (const stage of this.#stages) text = stage.push(text) + heldOf(stage)
    if (text !== '') out.push({ type: 'text', text })
  }

  #passSplit(split: ThinkingSplit, out: StreamPart[]): void {
    if (split.reasoning !== '') this.reason(split.reasoning, out)
    if (split.text !== '') out.push(...this.#pass(split.text))
  }

  /** Makes the array in one piece: one that grows reserves room for many from the start. */
  #pass(delta: string): readonly StreamPart[] {
    this.#meter.addText(delta)
    let text = delta
    for (const stage of this.#stages) text = stage.push(text)
    return text === '' ? [] : [{ type: 'text', text }]
  }
}

/** An answer with one of these reasons may be empty: asking again would change nothing (kiro-protocol §5.11). */
const FINAL: ReadonlySet<string> = new Set([
  'MAX_TOKENS',
  'MODEL_CONTEXT_WINDOW_EXCEEDED',
  'CONTENT_FILTERED'
])

/** Tells whether the upstream closed its answer (kiro-protocol §5.11). Metadata without a reason comes in pieces. */
class Closing {
  readonly #isDue: boolean
  hasContent = false
  #isClosed = false
  /** Metering has come behind the last content. */
  isMetered = false
  stopReason = ''

  /** `isDue`: the upstream closes whole answers. */
  constructor(isDue: boolean) {
    this.#isDue = isDue
  }

  note(event: UpstreamEvent, bytes: number): void {
    if (event.type === 'metadata') {
      this.#isClosed = true
      this.stopReason = event.stopReason ?? this.stopReason
    } else if (event.type === 'metering') this.isMetered = true
    else if (event.type === 'tool' || bytes > 0) {
      this.hasContent = true
      this.isMetered = false
      this.#isClosed &&= this.stopReason !== ''
    }
  }

  get isSeen(): boolean {
    return this.#isClosed || this.isMetered
  }

  get isMissing(): boolean {
    return this.#isDue && !this.isSeen
  }

  /** Nothing usable has come, and no reason that asking again would repeat. */
  get isVoid(): boolean {
    if (this.hasContent) return false
    return this.isSeen ? !FINAL.has(this.stopReason.toUpperCase()) : this.#isDue
  }
}

export interface EndSigns {
  readonly isStopped: boolean
  /** The connection broke: other calls may be missing beside the whole ones. */
  readonly isLost: boolean
  readonly hasToolCall: boolean
  /** The upstream's limit was met, or a call was dropped. */
  readonly isCutOff: boolean
  readonly isWindowFull: boolean
  readonly stopReason: string
}

const StopReasons = new Map<string, EndReason>([
  ['MODEL_CONTEXT_WINDOW_EXCEEDED', 'context'],
  ['MAX_TOKENS', 'length'],
  ['CONTENT_FILTERED', 'filter'],
  ['PAUSE_TURN', 'pause']
])

/** Unknown words of the upstream are `stop`. */
export function toEndReason(signs: EndSigns): EndReason {
  if (signs.isStopped) return 'stop-sequence'
  if (signs.isLost) return 'length'
  if (signs.hasToolCall) return 'tool'
  const stated = StopReasons.get(signs.stopReason.toUpperCase()) ?? 'stop'
  if (signs.isWindowFull || stated === 'context') return 'context'
  return signs.isCutOff ? 'length' : stated
}
