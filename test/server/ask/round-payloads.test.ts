import type { IncomingMessage, ServerResponse } from 'node:http'
import { text as readText } from 'node:stream/consumers'
import t from 'tap'
import { captureRewrites } from '../../helper/capture-rewrites.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

t.test('the payload of another round is written where large bodies are converted', async (t) => {
  const asked: string[] = []
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    asked.push(await readText(request))
    response.end(Buffer.concat([textFrame(asked.length === 1 ? 'no JSON' : '{"a":1}'), endFrame]))
  }
  const upstream = await CountingUpstream.start(t, (request, response) => {
    void answer(request, response) // rejects only where the connection breaks
  })
  const { url } = await FakePrimary.start(t, upstream.url)
  const rewrites = captureRewrites(t)
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer good-key' },
    body: JSON.stringify({
      model: 'claude-haiku-4.5',
      response_format: { type: 'json_object' },
      messages: [{ role: 'user', content: 'word '.repeat(100_000) }]
    })
  })
  t.match(await response.text(), /\{\\"a\\":1\}/)
  t.equal(asked.length, 2)
  t.match(asked[1], /"content":"no JSON"/)
  t.match(
    rewrites().map(({ args: [, how] }) => how),
    [{ kind: 'follow-up', followUp: { answer: { text: 'no JSON' } } }]
  )
})
