import t from 'tap'
import { SseComment, toSseData, toSseEvent } from '../../../src/dialects/answer/answer-writer.ts'
import { readSse } from '../../helper/sse-messages.ts'

t.test('messages and comments follow each other', async (t) => {
  const stream = toSseData('{"a":1}') + SseComment + toSseEvent('ping', '{"type":"ping"}')
  t.equal(stream, 'data: {"a":1}\n\n: ping\n\nevent: ping\ndata: {"type":"ping"}\n\n')
  t.same(readSse(stream), {
    messages: [
      { event: null, data: '{"a":1}' },
      { event: 'ping', data: '{"type":"ping"}' }
    ],
    comments: 1
  })
})
