import type { Test } from 'tap'
import { MESSAGES, messages } from './dialects.ts'
import type { Stand } from './stand.ts'

/** A thread is refused so that its client goes on without; to ignore it would lose the conversation. */
export async function check(t: Test, stand: Stand): Promise<void> {
  for (const thread of [
    { type: 'create' },
    { type: 'continue', previous_message_id: 'msg_0123456789abcdef' },
    { type: 'a-word-to-come' },
    true
  ]) {
    for (const stream of [false, true]) {
      t.test(`${JSON.stringify(thread)}${stream ? ', streamed' : ''}`, async (t) => {
        const before = stand.sentCount
        const { status, json, headers } = await stand.call(`${MESSAGES}?beta=true`, {
          body: messages.ask('hi', { stream, thread })
        })
        t.equal(status, 400)
        t.equal(headers['x-should-retry'], 'false')
        t.match(json, {
          type: 'error',
          error: {
            type: 'invalid_request_error',
            details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] }
          }
        })
        t.equal(stand.sentCount, before, 'the upstream was not asked')
      })
    }
  }

  t.test('without it the same request is answered', async (t) => {
    for (const more of [{}, { thread: null }]) {
      const { status } = await stand.call(MESSAGES, { body: messages.ask('hi', more) })
      t.equal(status, 200)
    }
  })
}
