import { deepEqual } from 'node:assert/strict'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import t from 'tap'
import { readAnthropicStream } from '../helper/anthropic-grammar.ts'
import { anyBody, answerOf, fetchOf, type Said, saidIn } from '../helper/any-answer.ts'
import { assert, asyncProperty, integer } from '../helper/fast-check.ts'
import { readOpenAiStream } from '../helper/openai-grammar.ts'
import {
  anthropicIdentity,
  createTranslator,
  openAiIdentity,
  replyPlan
} from '../helper/reply-plan.ts'
import { placesIn } from '../helper/upstream-events.ts'

t.setTimeout(300_000) // tens of thousands of answers, on a machine that may be busy

/** `npm run fuzz` draws others. */
const ANSWERS = 15

const local = { apiKey: 'k', maxRetries: 0 }
const question = { role: 'user', content: 'x' } as const

async function readByOpenAi(stream: string, sliceBytes: number): Promise<Said> {
  const fetch = fetchOf(stream, sliceBytes)
  const client = new OpenAI({ ...local, baseURL: 'http://127.0.0.1/v1', fetch })
  const said: Said = { text: '', reasoning: '', calls: [] }
  const chunks = await client.chat.completions.create({
    model: 'm',
    messages: [question],
    stream: true
  })
  for await (const { choices } of chunks) {
    const delta = choices[0]?.delta
    said.text += delta?.content ?? ''
    const reasoning = delta === undefined ? undefined : Reflect.get(delta, 'reasoning_content')
    if (typeof reasoning === 'string') said.reasoning += reasoning
    for (const { index, id, function: piece } of delta?.tool_calls ?? []) {
      const call = (said.calls[index] ??= { id: id ?? '', name: piece?.name ?? '', json: '' })
      call.json += piece?.arguments ?? ''
    }
  }
  return said
}

async function readByAnthropic(stream: string, sliceBytes: number): Promise<Said> {
  const fetch = fetchOf(stream, sliceBytes)
  const client = new Anthropic({ ...local, baseURL: 'http://127.0.0.1', fetch })
  const run = client.messages.stream({ model: 'm', max_tokens: 9, messages: [question] })
  const said: Said = { text: '', reasoning: '', calls: [] }
  for (const block of (await run.finalMessage()).content) {
    if (block.type === 'text') said.text += block.text
    if (block.type === 'thinking') said.reasoning += block.thinking
    if (block.type === 'tool_use') {
      said.calls.push({ id: block.id, name: block.name, json: JSON.stringify(block.input) })
    }
  }
  return said
}

const dialects = [
  {
    plan: replyPlan({ reasoning: 'native' }),
    identity: openAiIdentity,
    readGrammar: readOpenAiStream,
    readBySdk: readByOpenAi
  },
  {
    plan: replyPlan({ dialect: 'anthropic-messages', reasoning: 'native' }),
    identity: anthropicIdentity,
    readGrammar: readAnthropicStream,
    readBySdk: readByAnthropic
  }
] as const

for (const { plan, identity, readGrammar, readBySdk } of dialects) {
  const answer = (chunks: readonly Uint8Array[]) =>
    answerOf(plan, createTranslator(plan, identity), chunks)
  t.test(`${plan.asked.dialect}: any answer, cut anywhere, is the same valid stream`, async () => {
    await assert(
      asyncProperty(anyBody(['f']), integer({ min: 1, max: 300 }), async (body, sliceBytes) => {
        const { text, parts } = answer([body])
        const said = saidIn(parts)
        readGrammar(text) // throws for what is no stream of the dialect
        const read = await readBySdk(text, sliceBytes)
        const whole = new Set(said.calls.map(({ id }) => id))
        deepEqual({ ...read, calls: read.calls.filter(({ id }) => whole.has(id)) }, said)
        for (const at of placesIn(body)) {
          if (answer([body.subarray(0, at), body.subarray(at)]).text !== text) {
            throw new Error(`cut at ${at} it is another stream`)
          }
        }
      }),
      { numRuns: ANSWERS }
    )
  })
}
