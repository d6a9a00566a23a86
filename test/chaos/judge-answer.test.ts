import t from 'tap'
import { wholeText } from './answer-frames.ts'
import { judgeAnswer, type ReceivedAnswer } from './judge-answer.ts'

const whole = wholeText('7-1', 3)

function received(changes: Partial<ReceivedAnswer>): ReceivedAnswer {
  return {
    dialect: 'openai',
    isStream: true,
    id: '7-1',
    status: 200,
    body: '',
    isCut: false,
    errorCode: '',
    ...changes
  }
}

function openai(texts: readonly string[], end = 'data: [DONE]\n\n'): string {
  const chunks = texts.map((content) => ({ choices: [{ delta: { content } }] }))
  return chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('') + end
}

function anthropic(texts: readonly string[], end: string): string {
  const events = texts.map((text) => ({ type: 'content_block_delta', delta: { text } }))
  return events.map((event) => `event: x\ndata: ${JSON.stringify(event)}\n\n`).join('') + end
}

const stop = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'
const error = 'data: {"error":{"message":"m","code":"timeout"}}\n\n'

t.test('judgeAnswer()', (t) => {
  t.test('knows a whole answer in both dialects, streamed or not', async (t) => {
    const message = { choices: [{ message: { content: whole } }] }
    for (const answer of [
      received({ body: openai([whole]) }),
      received({ body: openai(whole.split(/(?= )/)) }),
      received({ dialect: 'anthropic', body: anthropic([whole], stop) }),
      received({ isStream: false, body: JSON.stringify(message) }),
      received({ isStream: false, body: JSON.stringify({ content: [{ text: whole }] }) })
    ]) {
      t.same(judgeAnswer(answer), { outcome: 'complete', violation: null })
    }
  })

  t.test('accepts a stream that breaks and says so, or is cut', async (t) => {
    t.equal(
      judgeAnswer(received({ body: openai(['id:7-1 w0'], error) })).outcome,
      'broken, said so'
    )
    t.equal(judgeAnswer(received({ body: openai(['id:7-1 w0'], ''), isCut: true })).outcome, 'cut')
    t.equal(judgeAnswer(received({ body: openai([], 'data: {"cho'), isCut: true })).outcome, 'cut')
  })

  t.test('accepts an answer that ends as cut off, as far as it came', async (t) => {
    const end = 'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\ndata: [DONE]\n\n'
    const delta = { type: 'message_delta', delta: { stop_reason: 'max_tokens' } }
    const body = { content: [{ text: 'id:7-1 w0' }], stop_reason: 'max_tokens' }
    for (const answer of [
      received({ body: openai(['id:7-1 w0'], end) }),
      received({
        dialect: 'anthropic',
        body: anthropic(['id:7-1 w0'], `data: ${JSON.stringify(delta)}\n\n${stop}`)
      }),
      received({ dialect: 'anthropic', isStream: false, body: JSON.stringify(body) })
    ]) {
      t.same(judgeAnswer(answer), { outcome: 'cut off, said so', violation: null })
    }
    const lie = judgeAnswer(received({ body: openai(['id:7-1 w1'], end) }))
    t.equal(lie.outcome, 'text out of order')
  })

  t.test('names refusals and lost connections', async (t) => {
    const refusal = received({ status: 503, body: '{"error":{"type":"x","code":"gw_queue_full"}}' })
    t.same(judgeAnswer(refusal), { outcome: '503 gw_queue_full', violation: null })
    const lost = received({ status: 0, isCut: true, errorCode: 'ECONNRESET' })
    t.same(judgeAnswer(lost), { outcome: 'no answer: ECONNRESET', violation: null })
  })

  t.test('convicts every answer that lies', async (t) => {
    const broken = whole.slice(0, -6)
    for (const [body, outcome] of [
      [openai([broken]), 'end of a broken stream'],
      [openai([whole.replace('end:3', 'end:4')]), 'end of a broken stream'],
      [openai([whole], ''), 'neither end nor error'],
      [openai([whole], `data: [DONE]\n\n${error}`), 'end and error'],
      [openai(['id:7-1 w0 w2'], error), 'text out of order'],
      [openai(['id:7-1 w0 w0'], error), 'text out of order'],
      [openai([wholeText('9-9', 3)]), 'text out of order']
    ] as const) {
      const judged = judgeAnswer(received({ body }))
      t.equal(judged.outcome, outcome)
      t.type(judged.violation, 'string')
    }
    const half = received({ isStream: false, body: '{"content":[{"text":"id:7-1 w0"}]}' })
    t.type(judgeAnswer(half).violation, 'string')
    const bug = received({ status: 500, body: '{"error":{"code":"internal_error"}}' })
    t.type(judgeAnswer(bug).violation, 'string')
  })
  t.end()
})
