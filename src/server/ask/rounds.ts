import { randomUUID } from 'node:crypto'
import {
  judgeRound,
  RoundReader,
  type RoundReport,
  type RoundVerdict
} from '../../dialects/answer/round.ts'
import type { EndReason, CompleteCall } from '../../dialects/answer/stream-part.ts'
import type { JsonForm } from '../../dialects/plan/json-answer.ts'
import type { ReplyPlan, RoundPlan } from '../../dialects/plan/plan.ts'
import type { FollowUp } from '../../kiro/conversation/change.ts'
import { countTextTokens } from '../../kiro/tokens/request-tokens.ts'
import type { ToolResult } from '../../kiro/wire/message.ts'
import { RoundSink } from '../../reply/sinks.ts'
import { GatewayError } from '../../shared/errors.ts'
import { parseJsonObject } from '../../shared/json.ts'
import type { JobOwner } from '../../transform/transform-pool.ts'
import type { RequestPayload } from '../../upstream/call/requests.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import { askUpstream, type UpstreamQuestion } from './ask-upstream.ts'
import { extendPayload } from './change-payload.ts'
import { createSearches, type RoundSearches } from './searches.ts'

/** `payload` must be kept. */
export interface RoundsQuestion extends UpstreamQuestion {
  readonly rounds: RoundPlan
}

/**
 * Answers a client with one or more upstream rounds: to search the web for the model, or, once, because the answer lacks
 * the required form. Holds no permit between calls; resolves once the sink has the whole answer.
 *
 *   [opening search] ─▶ round ──delivered──▶ end
 *                       ▲   ├──searches──▶ made, told ─┐
 *                       │   └──not as asked, once──────┤
 *                       └──── the payload grows ◀──────┘
 *
 * @throws {GatewayError} as `askUpstream()`; GW_ANSWER_INVALID if the second answer is no better than the first
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
      if (room.isFull) {
        this.#release(reader)
        return this.#finish(report, 'length')
      }
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
          await this.#repair(report, verdict)
          break
        case 'search':
          // Words around a search do not belong to an answer in JSON.
          if (this.#rounds.jsonForm === null || verdict.isLast) this.#release(reader)
          if (await this.#searchFor(report, verdict.isLast)) return
      }
      await sink.whenDrained(signal)
    }
  }

  /** An answer that cannot be checked is delivered: it is not the model's mistake. */
  async #problemsOf(text: string, form: JsonForm): Promise<readonly string[]> {
    const { log, requestId: request_id, signal, waiter } = this.#question
    const owner = { key: waiter.key, signal }
    const { problems, isComplete } = await this.#plane.transforms.check(text, form, owner)
    if (!isComplete) {
      log.warn({ request_id, code: 'answer-unchecked', chars: text.length }, 'answer not checked')
    }
    return problems
  }

  /** True if the search was the whole answer. */
  async #open(): Promise<boolean> {
    const { jsonForm, webSearch } = this.#rounds
    const opening = webSearch?.opening ?? null
    if (webSearch === null || opening === null || this.#searches === null) return false
    const id = `toolu_${randomUUID().replaceAll('-', '').slice(0, 24)}`
    const call = { id, name: webSearch.toolName, json: JSON.stringify({ query: opening.query }) }
    const results = await this.#searches.make([call])
    if (opening.isWhole && jsonForm === null) {
      this.#question.payload.drop()
      const text = results.map((result) => result.text).join('\n\n')
      const { inputTokens, upstreamModel, gauge } = this.#payload.plan
      const outputTokens = countTextTokens(upstreamModel, text, gauge?.scale)
      this.#question.progress.spend({ inputTokens, outputTokens })
      this.#question.sink.push({ type: 'text', text })
      this.#finish(null, 'stop')
      return true
    }
    await this.#tell({ text: '', calls: [call], deliveredTokens: 0 }, results)
    return false
  }

  async #ask(reader: RoundReader): Promise<void> {
    const { sink, payload } = this.#question
    if (this.#isRepaired && this.#searches === null) payload.hand()
    const { plan } = this.#payload
    await askUpstream(this.#plane, { ...this.#question, plan, sink: new RoundSink(sink, reader) })
  }

  async #repair(
    { text, strays }: RoundReport,
    { reply, problem }: Extract<RoundVerdict, { type: 'repair' }>
  ): Promise<void> {
    const { log, requestId: request_id } = this.#question
    const reason = this.#rounds.dueCall === null ? 'json' : 'tool-choice'
    if (this.#isRepaired) {
      const message = `${problem}, even after a second attempt.`
      throw new GatewayError('GW_ANSWER_INVALID', reason, { message })
    }
    this.#isRepaired = true
    this.#plane.metrics.answersAskedAgain.inc({ reason })
    log.info({ request_id, reason }, 'asking the model again')
    const toolResults = strays.map(toStrayResult)
    await this.#payload.extend({
      text,
      calls: strays,
      reply: { text: reply, toolResults },
      deliveredTokens: 0
    })
  }

  /** True if the answer ends with these searches. */
  async #searchFor({ text, searches, strays, end }: RoundReport, isLast: boolean) {
    if (this.#searches === null) throw new Error('no search was offered')
    const { isOver } = this.#searches
    const results = await this.#searches.make(searches)
    if (isLast || isOver) {
      this.#finish({ end }, isLast ? end.reason : 'pause')
      return true
    }
    await this.#tell(
      { text, calls: [...searches, ...strays], deliveredTokens: end.usage.outputTokens },
      [...results, ...strays.map(toStrayResult)]
    )
    return false
  }

  /** Reports search results to the model. A required search has been made by now. */
  #tell(said: Omit<RoundWords, 'reply'>, toolResults: readonly ToolResult[]): Promise<void> {
    const mustAnswer = this.#searches?.isSpent === true || this.#rounds.dueCall !== null
    this.#rounds = { ...this.#rounds, dueCall: null }
    const text = mustAnswer ? 'Answer now with what was found.' : ''
    return this.#payload.extend({ ...said, reply: { text, toolResults } })
  }

  #release(reader: RoundReader): void {
    for (const part of reader.release()) this.#question.sink.push(part)
  }

  #finish(report: Pick<RoundReport, 'end'> | null, reason: EndReason): void {
    const { sink, progress } = this.#question
    const usage = progress.usage ?? { inputTokens: this.#payload.plan.inputTokens, outputTokens: 0 }
    sink.push({ type: 'end', ...report?.end, reason, usage })
    sink.end()
  }
}

function toStrayResult({ id }: CompleteCall): ToolResult {
  return { id, text: 'This call was not made: another tool has to be called now.', isError: true }
}

interface RoundWords {
  readonly text: string
  readonly calls: readonly CompleteCall[]
  readonly reply: FollowUp['reply']
  readonly deliveredTokens: number
}

class RoundPayload {
  readonly #plane: DataPlane
  readonly #payload: RequestPayload
  readonly #owner: JobOwner
  #plan: ReplyPlan

  constructor(plane: DataPlane, { payload, plan, waiter, signal }: RoundsQuestion) {
    this.#plane = plane
    this.#payload = payload
    this.#owner = { key: waiter.key, signal }
    this.#plan = plan
  }

  get plan(): ReplyPlan {
    return this.#plan
  }

  /** @throws {GatewayError} GW_MEMORY_FULL; the signal's reason if the client has left */
  async extend({ text, calls, reply, deliveredTokens }: RoundWords): Promise<void> {
    const answer = { text, toolCalls: this.#toWireCalls(calls) }
    const { transforms } = this.#plane
    const groups = await extendPayload(transforms, this.#payload, { answer, reply }, this.#owner)
    const { upstreamModel, maxOutputTokens } = this.#plan
    const { input, reading } = this.#plane.calibration.count(upstreamModel, groups)
    this.#plan = {
      ...this.#plan,
      inputTokens: input,
      groups,
      gauge: reading,
      ...(maxOutputTokens !== undefined && {
        maxOutputTokens: Math.max(1, maxOutputTokens - deliveredTokens)
      })
    }
  }

  #toWireCalls(calls: readonly CompleteCall[]): FollowUp['answer']['toolCalls'] {
    const renamed = Object.entries(this.#plan.toolNames)
    const wireNames = new Map(renamed.map(([wireName, name]) => [name, wireName]))
    return calls.map(({ id, name, json }) => ({
      id,
      name: wireNames.get(name) ?? name,
      input: parseJsonObject(json) ?? {}
    }))
  }
}
