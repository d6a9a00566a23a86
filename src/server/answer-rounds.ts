import { randomUUID } from 'node:crypto'
import type { JsonForm } from '../dialects/json-answer.ts'
import type { RoundPlan } from '../dialects/round-plan.ts'
import { RoundReader, type RoundReport } from '../dialects/round-reader.ts'
import { judgeRound, type RoundVerdict } from '../dialects/round-verdict.ts'
import type { EndReason, Usage } from '../dialects/stream-part.ts'
import { estimateTokens } from '../dialects/token-estimate.ts'
import type { ToolCall } from '../dialects/tool-parts.ts'
import { addUsage } from '../dialects/usage-sum.ts'
import type { ToolResult } from '../kiro/message.ts'
import { RoundSink } from '../reply/round-sink.ts'
import { GatewayError } from '../shared/errors.ts'
import { askUpstream, type UpstreamQuestion } from './ask-upstream.ts'
import type { BodyMemory } from './body-memory.ts'
import { createSearches } from './create-searches.ts'
import type { DataPlane } from './data-plane.ts'
import { RoundPayload, type RoundWords } from './round-payload.ts'
import type { RoundSearches } from './round-searches.ts'

/** `payload` must be a kept one. */
export interface RoundsQuestion extends UpstreamQuestion {
  readonly rounds: RoundPlan
  /** Holds the payload, which grows with each round. */
  readonly memory: BodyMemory
  /** What all rounds so far have cost. */
  readonly onUsage: (usage: Usage) => void
}

/**
 * One answer for which the upstream may be asked several times: to search the web for the model, or because the
 * answer is not what the client insists on. For that it is asked again once only.
 *
 * ```
 *   [opening search] ─▶ round ──delivered──▶ end
 *                       ▲   ├──searches──▶ made, told ─┐
 *                       │   └──not as asked, once──────┤
 *                       └──── the payload grows ◀──────┘
 * ```
 *
 * Resolves once the sink has got the whole answer. Between two calls to the upstream no permit is held.
 *
 * @throws {GatewayError} as `askUpstream()`; GW_ANSWER_INVALID when the second answer is no better than the first.
 */
export function answerInRounds(plane: DataPlane, question: RoundsQuestion): Promise<void> {
  return new AnswerRounds(plane, question).run()
}

class AnswerRounds {
  readonly #plane: DataPlane
  readonly #question: RoundsQuestion
  readonly #payload: RoundPayload
  readonly #searches: RoundSearches | null
  #rounds: RoundPlan
  #usage: Usage | null = null
  #isRepaired = false

  constructor(plane: DataPlane, question: RoundsQuestion) {
    this.#plane = plane
    this.#question = question
    this.#payload = new RoundPayload(plane, question)
    this.#rounds = question.rounds
    const { webSearch } = question.rounds
    this.#searches = webSearch === null ? null : createSearches(plane, question, webSearch)
  }

  async run(): Promise<void> {
    if (await this.#open()) return
    const { sink, room, signal } = this.#question
    for (;;) {
      const reader = new RoundReader(this.#rounds, room)
      await this.#ask(reader)
      const report = reader.report()
      this.#spend(report.end.usage)
      if (room.isFull) return this.#giveUp(reader, report)
      const verdict = await judgeRound(report, this.#rounds, {
        isTooLong: reader.isTooLong,
        problemsOf: (text, form) => this.#problemsOf(text, form)
      })
      switch (verdict.type) {
        case 'deliver':
          this.#release(reader)
          this.#finish(report, verdict.reason)
          return
        case 'repair':
          this.#repair(report, verdict)
          break
        case 'search':
          // Words around a search are no part of an answer in JSON.
          if (this.#rounds.jsonForm === null || verdict.isLast) this.#release(reader)
          if (await this.#searchFor(report, verdict.isLast)) return
      }
      await sink.whenDrained(signal)
    }
  }

  /** There is no more room: what there is of the answer is told, as an incomplete one. */
  #giveUp(reader: RoundReader, report: RoundReport): void {
    this.#release(reader)
    this.#finish(report, 'length')
  }

  /** An answer that can't be checked is no mistake of the model's, and is delivered. */
  async #problemsOf(text: string, form: JsonForm): Promise<readonly string[]> {
    const { log, requestId: reqId, signal, waiter } = this.#question
    const owner = { key: waiter.key, signal }
    const { problems, isComplete } = await this.#plane.transforms.check(text, form, owner)
    if (!isComplete) {
      log.warn({ reqId, code: 'answer-unchecked', chars: text.length }, 'answer not checked')
    }
    return problems
  }

  /** Makes the search that the client's words ask for. True if that was the answer. */
  async #open(): Promise<boolean> {
    const { jsonForm, webSearch } = this.#rounds
    const opening = webSearch?.opening ?? null
    if (webSearch === null || opening === null || this.#searches === null) return false
    const id = `toolu_${randomUUID().replaceAll('-', '').slice(0, 24)}`
    const call = { id, name: webSearch.toolName, json: JSON.stringify({ query: opening.query }) }
    const results = await this.#searches.make([call])
    if (opening.isWhole && jsonForm === null) {
      this.#payload.drop()
      const text = results.map((result) => result.text).join('\n\n')
      const { inputTokens } = this.#payload.plan
      this.#spend({ inputTokens, outputTokens: estimateTokens(text) })
      this.#question.sink.push({ type: 'text', text })
      this.#finish(null, 'stop')
      return true
    }
    this.#tell({ text: '', calls: [call], deliveredTokens: 0 }, results)
    return false
  }

  /** Asks once more. Where nothing can follow, the payload need not be kept. */
  async #ask(reader: RoundReader): Promise<void> {
    const isLast = this.#isRepaired && this.#searches === null
    const { sink, onAnswering } = this.#question
    await askUpstream(this.#plane, {
      ...this.#question,
      payload: isLast ? this.#payload.hand() : this.#payload.keep(),
      plan: this.#payload.plan,
      sink: new RoundSink(sink, reader),
      onAnswering: isLast ? onAnswering : () => {}
    })
  }

  #repair(
    { text, strays }: RoundReport,
    { reply, problem }: Extract<RoundVerdict, { type: 'repair' }>
  ): void {
    const { log, requestId: reqId } = this.#question
    const reason = this.#rounds.dueCall === null ? 'json' : 'tool-choice'
    if (this.#isRepaired) {
      const message = `${problem}, not even when it was asked again.`
      throw new GatewayError('GW_ANSWER_INVALID', reason, { message })
    }
    this.#isRepaired = true
    this.#plane.metrics.answersAskedAgain.inc({ reason })
    log.info({ reqId, reason }, 'asking for another answer')
    const toolResults = strays.map(toStrayResult)
    this.#payload.extend({
      text,
      calls: strays,
      reply: { text: reply, toolResults },
      deliveredTokens: 0
    })
  }

  /** True if the answer ends with these searches. */
  async #searchFor({ text, searches, strays, end }: RoundReport, isLast: boolean) {
    if (this.#searches === null) throw new Error('nobody was offered a search')
    const { isOver } = this.#searches
    const results = await this.#searches.make(searches)
    if (isLast || isOver) {
      this.#finish({ end }, isLast ? end.reason : 'pause')
      return true
    }
    this.#tell({ text, calls: [...searches, ...strays], deliveredTokens: end.usage.outputTokens }, [
      ...results,
      ...strays.map(toStrayResult)
    ])
    return false
  }

  /** Tells the model what was found. A search that had to be made has been made by now. */
  #tell(said: Omit<RoundWords, 'reply'>, toolResults: readonly ToolResult[]): void {
    const mustAnswer = this.#searches?.isSpent === true || this.#rounds.dueCall !== null
    this.#rounds = { ...this.#rounds, dueCall: null }
    const text = mustAnswer ? 'Answer now with what was found.' : ''
    this.#payload.extend({ ...said, reply: { text, toolResults } })
  }

  #release(reader: RoundReader): void {
    for (const part of reader.release()) this.#question.sink.push(part)
  }

  #finish(report: Pick<RoundReport, 'end'> | null, reason: EndReason): void {
    const { sink } = this.#question
    const usage = this.#usage ?? { inputTokens: this.#payload.plan.inputTokens, outputTokens: 0 }
    sink.push({ type: 'end', ...report?.end, reason, usage })
    sink.end()
  }

  #spend(usage: Usage): void {
    this.#usage = addUsage(this.#usage, usage)
    this.#question.onUsage(this.#usage)
  }
}

function toStrayResult({ id }: ToolCall): ToolResult {
  return { id, text: 'This call was not made: another tool has to be called now.', isError: true }
}
