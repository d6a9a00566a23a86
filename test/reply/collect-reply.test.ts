import t from 'tap'
import type { StreamPart } from '../../src/dialects/answer/stream-part.ts'
import { CollectReply, type CollectReplyOptions } from '../../src/reply/sinks.ts'
import { bodyText, openReply } from '../helper/reply-server.ts'

t.test('CollectReply', async (t) => {
  const open = await openReply(t)
  const parts: StreamPart[] = []
  const writer: CollectReplyOptions['writer'] = {
    push: (part) => {
      parts.push(part)
      return ''
    },
    toJson: () => JSON.stringify({ text: 'é', parts: parts.length })
  }
  const reply = new CollectReply({
    response: open.response,
    writer,
    stallTimeoutMs: 60_000,
    headers: () => ({ 'x-late': 'known now' }),
    gone: new AbortController()
  })
  reply.onSent()
  reply.push({ type: 'text', text: 'a' })
  reply.flush()
  reply.onIdle()
  t.equal(
    open.response.headersSent,
    false,
    'until the answer is whole every failure has its status'
  )
  t.equal(reply.hasBegun, false)
  t.throws(() => reply.fail(), /no body/)
  reply.push({ type: 'end', reason: 'stop', usage: { inputTokens: 1, outputTokens: 1 } })
  reply.end()
  reply.dispose()
  const message = await open.received
  const body = await bodyText(message)
  t.equal(message.statusCode, 200)
  t.same(JSON.parse(body), { text: 'é', parts: 2 })
  t.match(message.headers, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    'x-late': 'known now'
  })
})
