import type { UpstreamEvent } from '../kiro/event.ts'
import { toEndReason } from './end-reason.ts'
import type { ReplyPlan } from './reply-plan.ts'
import type { EndReason, StreamPart } from './stream-part.ts'
import { TextFilter } from './text-filter.ts'
import { ThinkingTags } from './thinking-tags.ts'
import { estimateTokens } from './token-estimate.ts'
import { type ToolCall, ToolCalls, type ToolEvent } from './tool-calls.ts'
import { toToolParts } from './tool-parts.ts'
import { UsageMeter } from './usage-meter.ts'

export interface PartReaderOptions {
  /** Counts the answer's tokens; the local estimate unless given. */
  readonly countTokens?: (text: string) => number
  /** The window of an upstream model, undefined if unknown; asked when another model answers than planned. */
  readonly contextWindowOf?: (modelId: string) => number | undefined
}

const NoParts: readonly StreamPart[] = []

/**
 * Makes the parts of one answer from the upstream's events (kiro-protocol §5.5-§6, §10.1).
 *
 * Text passes at once unless something must be held: a tag, a stop string, a code fence. A tool call
 * comes out once it is whole. `exception` events are the caller's business and do nothing here.
 */
export class PartReader {
  readonly #plan: ReplyPlan
  readonly #meter: UsageMeter
  readonly #filter: TextFilter
  readonly #isFilterOpen: boolean
  readonly #tags: ThinkingTags | null
  readonly #tools: ToolCalls
  readonly #contextWindowOf: (modelId: string) => number | undefined
  #modelId: string
  #stopReason = ''
  #toolCount = 0
  #isCutOff = false

  constructor(plan: ReplyPlan, options: PartReaderOptions = {}) {
    const countTokens = options.countTokens ?? estimateTokens
    this.#plan = plan
    this.#meter = new UsageMeter({ ...plan, countTokens })
    this.#filter = new TextFilter(plan)
    this.#isFilterOpen = this.#filter.isOpen
    this.#tags = plan.reasoning === 'tags' ? new ThinkingTags() : null
    this.#tools = new ToolCalls(plan.toolNames)
    this.#contextWindowOf = options.contextWindowOf ?? (() => undefined)
    this.#modelId = plan.upstreamModel
  }

  /** A stop string was found: nothing more will come out but the end, so the upstream can be left. */
  get isStopped(): boolean {
    return this.#filter.stopSequence !== null
  }

  push(event: UpstreamEvent): readonly StreamPart[] {
    if (this.isStopped) return NoParts
    switch (event.type) {
      case 'text':
        if (event.modelId !== undefined) this.#noteModel(event.modelId)
        return this.#readText(event.text)
      case 'reasoning':
        return this.#readReasoning(event)
      case 'tool':
        return this.#readTool(event)
      case 'metadata':
        if (event.stopReason !== undefined) this.#stopReason = event.stopReason
        if (event.tokenUsage !== undefined) this.#meter.addCounts(event.tokenUsage)
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
    if (!this.isStopped) this.#release(parts)
    if (!this.isStopped) this.#deliver(this.#tools.end(), parts)
    const { stopSequence } = this.#filter
    const usage = this.#meter.total()
    const reason = this.#reason()
    parts.push({ type: 'end', reason, ...(stopSequence !== null && { stopSequence }), usage })
    return parts
  }

  /** Like `end()`, after the upstream said that its output limit cut the answer off (§5.8). */
  cutOff(): readonly StreamPart[] {
    this.#isCutOff = true
    return this.end()
  }

  #readText(delta: string): readonly StreamPart[] {
    if (delta === '') return NoParts
    if (this.#tags === null && this.#isFilterOpen) {
      this.#meter.addText(delta)
      return [{ type: 'text', text: delta }]
    }
    const parts: StreamPart[] = []
    if (this.#tags === null) this.#passText(delta, parts)
    else this.#passSplit(this.#tags.push(delta), parts)
    return parts
  }

  #readReasoning(event: Extract<UpstreamEvent, { type: 'reasoning' }>): readonly StreamPart[] {
    const { text, signature, redacted } = event
    if (text) this.#meter.addReasoning(text)
    if (this.#plan.reasoning === 'none') return NoParts
    const parts: StreamPart[] = []
    this.#release(parts)
    if (text) parts.push({ type: 'reasoning', text })
    if (signature) parts.push({ type: 'signature', signature })
    if (redacted) parts.push({ type: 'redacted', content: redacted })
    return parts
  }

  #readTool(event: ToolEvent): readonly StreamPart[] {
    const calls = this.#tools.push(event)
    if (calls.length === 0) return NoParts
    const parts: StreamPart[] = []
    this.#release(parts)
    if (!this.isStopped) this.#deliver(calls, parts)
    return parts
  }

  #passSplit(
    split: { readonly reasoning: string; readonly text: string },
    out: StreamPart[]
  ): void {
    if (split.reasoning !== '') {
      this.#meter.addReasoning(split.reasoning)
      out.push({ type: 'reasoning', text: split.reasoning })
    }
    if (split.text !== '') this.#passText(split.text, out)
  }

  #passText(delta: string, out: StreamPart[]): void {
    this.#meter.addText(delta)
    const text = this.#filter.push(delta)
    if (text !== '') out.push({ type: 'text', text })
  }

  /** Text that is held goes before whatever comes next. */
  #release(out: StreamPart[]): void {
    if (this.#tags !== null) this.#passSplit(this.#tags.release(), out)
    const text = this.#filter.release()
    if (text !== '') out.push({ type: 'text', text })
  }

  #deliver(calls: readonly ToolCall[], out: StreamPart[]): void {
    for (const call of calls) {
      this.#meter.addText(call.name)
      this.#meter.addText(call.json)
      if (this.#plan.isSingleToolCall && this.#toolCount > 0) continue
      this.#toolCount++
      out.push(...toToolParts(call))
    }
  }

  #noteModel(modelId: string): void {
    if (modelId === this.#modelId) return
    this.#modelId = modelId
    this.#meter.setContextWindow(this.#contextWindowOf(modelId) ?? this.#plan.contextWindow)
  }

  #reason(): EndReason {
    // The closing events may be missing: older accounts send none, and the body's end is proof enough (A34).
    return toEndReason({
      isStopped: this.isStopped,
      hasToolCall: this.#toolCount > 0,
      isCutOff: this.#isCutOff || this.#tools.hasDropped,
      isWindowFull: this.#meter.isWindowFull,
      stopReason: this.#stopReason
    })
  }
}
