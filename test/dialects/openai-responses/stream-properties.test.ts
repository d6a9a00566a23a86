import { deepEqual, equal } from 'node:assert/strict'
import OpenAI from 'openai'
import type { ResponseStreamEvent } from 'openai/resources/responses/responses'
import t from 'tap'
import { anyBody, answerOf, fetchOf, saidIn } from '../../helper/any-answer.ts'
import { assert, asyncProperty, integer } from '../../helper/fast-check.ts'
import { collect } from '../../helper/read-answer.ts'
import {
  createCollector,
  createTranslator,
  replyPlan,
  responsesIdentity
} from '../../helper/reply-plan.ts'
import { readResponsesStream, textOf } from '../../helper/responses-grammar.ts'
import { stringOf } from '../../helper/sse-messages.ts'
import { placesIn } from '../../helper/upstream-events.ts'

/** `npm run fuzz` draws others. */
const ANSWERS = 15

const plan = replyPlan({
  dialect: 'openai-responses',
  reasoning: 'native',
  toolForms: {
    patch: { kind: 'text', name: 'patch' },
    n__f: { kind: 'function', name: 'f', namespace: 'n' },
    search: { kind: 'search', name: 'search' }
  }
})
const bodies = anyBody(['patch', 'n__f', 'search', 'g'])

function answer(chunks: readonly Uint8Array[], isWhole = true) {
  return answerOf(plan, createTranslator(plan, responsesIdentity), chunks, isWhole)
}

type Item = Record<string, unknown>

/** The same from the items of a response. */
function saidBy(output: readonly Item[]) {
  const textIn = (type: string): string =>
    output.map((item) => (item['type'] === type ? textOf(item) : '')).join('')
  const calls = output
    .filter((item) => 'call_id' in item && item['status'] === 'completed')
    .map((item) => ({ id: item['call_id'], ...nameAndInput(item) }))
  return { text: textIn('message'), reasoning: textIn('reasoning'), calls }
}

function nameAndInput(item: Item): { name: unknown; json: unknown } {
  if (item['type'] === 'custom_tool_call') {
    return { name: item['name'], json: JSON.stringify({ input: item['input'] }) }
  }
  if (item['type'] === 'tool_search_call')
    return { name: 'search', json: JSON.stringify(item['arguments']) }
  const name = stringOf(item['name'])
  const namespace = stringOf(item['namespace'])
  return { name: namespace === '' ? name : `${namespace}__${name}`, json: item['arguments'] }
}

/** What the official SDK makes of a stream that it gets in slices of so many bytes. */
async function readBySdk(stream: string, sliceBytes: number) {
  const fetch = fetchOf(stream, sliceBytes)
  const client = new OpenAI({ apiKey: 'k', baseURL: 'http://127.0.0.1/v1', maxRetries: 0, fetch })
  const events: ResponseStreamEvent[] = []
  const run = client.responses.stream({ model: 'm', input: 'x' })
  run.on('event', (event) => events.push(event))
  return { response: await run.finalResponse(), events }
}

t.test('any answer, cut anywhere, is the same valid stream', async () => {
  await assert(
    asyncProperty(bodies, integer({ min: 1, max: 300 }), async (body, sliceBytes) => {
      const { text, parts } = answer([body])
      const { output, types } = readResponsesStream(text)
      const said = saidIn(parts)
      deepEqual(saidBy(output), said)
      const sdk = await readBySdk(text, sliceBytes)
      deepEqual(saidBy(sdk.response.output as unknown as Item[]), said, 'for the SDK, too')
      equal(sdk.response.output_text, said.text)
      equal(sdk.events.length, types.length)
      const collected = collect(createCollector(plan, responsesIdentity), parts)
      deepEqual(Object(collected).output, output, 'and in one piece')
      for (const at of placesIn(body)) {
        if (answer([body.subarray(0, at), body.subarray(at)]).text !== text) {
          throw new Error(`cut at ${at} it is another stream`)
        }
      }
    }),
    { numRuns: ANSWERS }
  )
})

t.test('any answer that breaks off anywhere is a valid stream that failed', async () => {
  await assert(
    asyncProperty(bodies, integer({ min: 1, max: 300 }), async (body, sliceBytes) => {
      let last = ''
      for (const at of placesIn(body)) {
        const { text, parts } = answer([body.subarray(0, at)], false)
        if (text === last) continue
        last = text
        const { response, output } = readResponsesStream(text)
        if (response['status'] !== 'failed') throw new Error('it does not look broken')
        const said = saidIn(parts)
        const told = saidBy(output)
        if (told.text !== said.text || told.reasoning !== said.reasoning)
          throw new Error('words are lost')
      }
      const { response } = await readBySdk(last, sliceBytes)
      equal(response.status, 'failed')
      equal(response.error?.code, 'server_error')
    }),
    { numRuns: ANSWERS }
  )
})
