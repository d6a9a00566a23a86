import t from 'tap'
import { sumOfGroups } from '../../../src/kiro/tokens/request-tokens.ts'
import { rewritePayload } from '../../../src/dialects/request/rewrite-payload.ts'
import type { FollowUp } from '../../../src/kiro/conversation/change.ts'
import type { UpstreamPayload } from '../../../src/kiro/wire/payload.ts'
import { checkRequest } from '../../strict-simulator/request-rules.ts'
import { convert } from '../../helper/convert.ts'
import {
  array,
  assert,
  boolean,
  constantFrom,
  dictionary,
  jsonValue,
  oneof,
  property,
  record,
  string,
  codePoint
} from '../../helper/fast-check.ts'

t.setTimeout(240_000) // thousands of cases, on a machine that may be busy

const TOOLS = ['f', 'g'].map((name) => ({ name, input_schema: { type: 'object' } }))
const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const image = {
  type: 'image',
  source: { type: 'base64', media_type: 'image/png', data: PNG }
}
const call = { type: 'tool_use', id: 't1', name: 'f', input: { a: 1 } }
const result = { type: 'tool_result', tool_use_id: 't1', content: 'done' }

/** Conversations of every shape: with and without tools, history, images and results. */
const requests = [
  { messages: [{ role: 'user', content: 'hi' }] },
  { messages: [{ role: 'user', content: 'hi' }], tools: TOOLS },
  { messages: [{ role: 'user', content: [{ type: 'text', text: 'see' }, image] }], tools: TOOLS },
  {
    system: 'Be brief.',
    messages: [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: [call] },
      { role: 'user', content: [result] }
    ],
    tools: TOOLS,
    thinking: { type: 'enabled', budget_tokens: 2000 }
  }
]
const payloads = requests.map((request) => {
  const model = 'claude-haiku-4.5'
  return Buffer.from(JSON.stringify(convert('anthropic-messages', { model, ...request }).payload))
})

const text = oneof(
  string(),
  string({ unit: codePoint }),
  constantFrom('', ' ', '\n', '\ud800', 'ends in \udfff', '\u0000', '"}]')
)
const id = oneof(constantFrom('', 'a', 'b', 'a b', 'x'.repeat(100)), string())
const name = oneof(constantFrom('f', 'F', 'g', 'nobody', '', '__proto__'), string())
const followUps = record({
  answer: record({
    text,
    toolCalls: array(record({ id, name, input: dictionary(string(), jsonValue()) }), {
      maxLength: 4
    })
  }),
  reply: record({
    text,
    toolResults: array(record({ id, text, isError: boolean() }), { maxLength: 4 })
  })
})

function read(bytes: Uint8Array): UpstreamPayload {
  return JSON.parse(Buffer.from(bytes).toString())
}

/** The payload of the next round. */
function extendPayload(bytes: Uint8Array, followUp: FollowUp) {
  const extended = rewritePayload(bytes, { kind: 'follow-up', followUp })
  if (extended === null) throw new Error('every conversation can go on')
  return extended
}

t.test('a follow-up keeps every rule of the upstream, whatever the model said', async (t) => {
  assert(
    property(
      constantFrom(...payloads),
      array(followUps, { minLength: 1, maxLength: 4 }),
      (start, rounds) => {
        let bytes: Uint8Array = start
        for (const followUp of rounds) {
          const before = read(bytes).conversationState
          const extended = extendPayload(bytes, followUp)
          bytes = extended.bytes
          const payload = read(bytes)
          const verdict = checkRequest(payload)
          if ('status' in verdict) throw new Error(JSON.stringify(verdict))
          if (sumOfGroups(extended.tokens) <= 0) throw new Error('it costs nothing')
          const { history = [], currentMessage, conversationId } = payload.conversationState
          if (conversationId !== before.conversationId) throw new Error('another conversation')
          if (history.length !== (before.history?.length ?? 0) + 2)
            throw new Error('turns are lost')
          assertSaid(history.at(-1), followUp.answer.text)
          assertSaid(currentMessage, followUp.reply.text)
        }
      }
    ),
    { numRuns: 300 }
  )
  t.pass()
})

/** No word is lost, but for halves of characters. */
function assertSaid(turn: object | undefined, words: string): void {
  const [message] = Object.values(turn ?? {}) as { content: string }[]
  const said = words.toWellFormed()
  if (said.trim() !== '' && !message?.content.includes(said)) {
    throw new Error(`${JSON.stringify(said)} is not in ${JSON.stringify(message)}`)
  }
}

t.test('a follow-up', async (t) => {
  t.test('moves the tools on with the current message and pairs the results', async (t) => {
    const [, withTools = Buffer.from('')] = payloads
    const followUp: FollowUp = {
      answer: { text: 'Searching.', toolCalls: [{ id: 't9', name: 'g', input: { query: 'x' } }] },
      reply: { text: '', toolResults: [{ id: 't9', text: 'found', isError: false }] }
    }
    const before = read(withTools).conversationState.currentMessage.userInputMessage
    const { conversationState } = read(extendPayload(withTools, followUp).bytes)
    const tools = before.userInputMessageContext?.tools
    t.same(conversationState.history, [
      { userInputMessage: { content: 'hi', modelId: before.modelId, origin: 'AI_EDITOR' } },
      {
        assistantResponseMessage: {
          content: 'Searching.',
          toolUses: [{ toolUseId: 't9', name: 'g', input: { query: 'x' } }]
        }
      }
    ])
    t.same(conversationState.currentMessage.userInputMessage, {
      content: 'Continue.',
      modelId: before.modelId,
      origin: 'AI_EDITOR',
      userInputMessageContext: {
        tools,
        toolResults: [{ toolUseId: 't9', content: [{ text: 'found' }], status: 'success' }]
      }
    })
  })

  t.test('makes words of a call that nobody offered, and of its result', async (t) => {
    const [, withTools = Buffer.from('')] = payloads
    const { conversationState } = read(
      extendPayload(withTools, {
        answer: { text: '', toolCalls: [{ id: 't9', name: 'ghost', input: {} }] },
        reply: { text: 'No.', toolResults: [{ id: 't9', text: 'not there', isError: true }] }
      }).bytes
    )
    t.match(conversationState.history?.at(-1), {
      assistantResponseMessage: { content: '[Tool: ghost (t9)]\n{}', toolUses: undefined }
    })
    t.match(conversationState.currentMessage.userInputMessage, {
      content: 'No.\n\n[Tool Result (t9)]\nnot there'
    })
  })

  t.test('leaves the bytes beginning as the call expects them', async (t) => {
    for (const payload of payloads) {
      const { bytes } = extendPayload(payload, {
        answer: { text: 'a', toolCalls: [] },
        reply: { text: 'b', toolResults: [] }
      })
      t.match(Buffer.from(bytes).toString(), /^\{"conversationState":\{"conversationId":"/)
    }
  })

  t.test('takes only what encodePayload() wrote', async (t) => {
    const followUp = { answer: { text: '', toolCalls: [] }, reply: { text: '', toolResults: [] } }
    t.throws(() => extendPayload(Buffer.from('{}'), followUp), /not the bytes of a payload/)
  })
})
