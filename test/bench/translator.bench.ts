import { performance } from 'node:perf_hooks'
import { toText } from '../../src/dialects/answer/output-text.ts'
import { PartReader } from '../../src/dialects/answer/part-reader.ts'
import type { DialectName } from '../../src/dialects/dialect.ts'
import type { ReplyPlan } from '../../src/dialects/plan/plan.ts'
import type { UpstreamEvent } from '../../src/kiro/wire/event.ts'
import { createTranslator, openAiIdentity, replyPlan } from '../helper/reply-plan.ts'
import { closing, text } from '../helper/upstream-events.ts'

// The answer side alone: 100 upstream text events → parts → the client's text, one core.
// Run by hand: node test/bench/translator.bench.ts. Target: 0.08 ms an answer.

const Rounds = 5
const AnswersPerRound = 4000
const Words = ['The ', 'quick brown ', 'fox\n', '"jumps" ', 'over — ', 'the lazy dog. ']

const events: readonly UpstreamEvent[] = [
  ...Array.from({ length: 100 }, (_, index) => text(Words[index % Words.length] ?? '')),
  ...closing()
]

/** What a chunk costs that is stringified as a whole, to compare with. */
function stringifyWhole(): string {
  let out = ''
  for (const event of events) {
    if (event.type !== 'text') continue
    const choice = { index: 0, delta: { content: event.text }, finish_reason: null }
    const chunk = {
      id: openAiIdentity.id,
      object: 'chat.completion.chunk',
      created: openAiIdentity.created,
      model: 'claude-haiku-4.5',
      choices: [choice]
    }
    out += `data: ${JSON.stringify(chunk)}\n\n`
  }
  return out
}

function answer(plan: ReplyPlan): string {
  const reader = new PartReader(plan)
  const translator = createTranslator(plan, openAiIdentity)
  let out = ''
  for (const event of events)
    for (const part of reader.push(event)) out += toText(translator.push(part))
  for (const part of reader.end()) out += toText(translator.push(part))
  return out
}

/** Bytes are made of each answer, as a socket would: a string that is only glued is not yet written. */
function measure(name: string, run: () => string): void {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < Rounds; round++) {
    const startedAt = performance.now()
    for (let count = 0; count < AnswersPerRound; count++) Buffer.from(run())
    best = Math.min(best, (performance.now() - startedAt) / AnswersPerRound)
  }
  process.stdout.write(`${name.padEnd(44)} ${best.toFixed(4)} ms an answer\n`)
}

const dialects: readonly DialectName[] = ['openai-chat', 'openai-responses', 'anthropic-messages']
for (const dialect of dialects) {
  measure(dialect, () => answer(replyPlan({ dialect })))
  const stopSequences = ['</severity>', '\n\nHuman:']
  const plan = replyPlan({ dialect, stopSequences, reasoning: 'tags' })
  measure(`${dialect}, stop strings and tags`, () => answer(plan))
}
measure('whole chunks stringified', stringifyWhole)
