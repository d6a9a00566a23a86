import type { Test } from 'tap'
import { APIS, chat, messages, responses } from './dialects.ts'
import { KEY, type Stand } from './stand.ts'

/** Errors that will not go away say so; those that will, say when. */
export async function check(t: Test, stand: Stand): Promise<void> {
  for (const api of APIS) {
    for (const stream of [false, true]) {
      const answerTo = (prompt: string, more = {}, headers?: Record<string, string>) =>
        stand.call(api.path, {
          body: api.ask(prompt, { stream, ...more }),
          ...(headers !== undefined && { headers })
        })
      t.test(`${api.path}${stream ? ', streamed' : ''}`, async (t) => {
        t.test('401, 400 and 404 are final', async (t) => {
          const wrongKey = await answerTo('hi', {}, { 'x-api-key': 'wrong' })
          const noKey = await answerTo('hi', {}, {})
          const invalid = await answerTo('hi', { tools: 7 })
          const unknown = await answerTo('hi', { model: 'no-such-model' })
          const refused = await answerTo('sim:improper')
          const overlong = await answerTo('sim:context-overflow')
          for (const [answer, status] of [
            [wrongKey, 401],
            [noKey, 401],
            [invalid, 400],
            [unknown, 404],
            [refused, 400],
            [overlong, 400]
          ] as const) {
            t.equal(answer.status, status)
            t.equal(answer.headers['x-should-retry'], 'false', `on ${status}`)
          }
        })

        t.test('a rate limit and an overload are not, and say when to come back', async (t) => {
          const limited = await answerTo('sim:throttled=2')
          t.equal(limited.status, 429)
          t.equal(limited.headers['retry-after'], '2')
          const overloaded = await answerTo('sim:overloaded')
          t.equal(overloaded.status, api === messages ? 529 : 503)
          t.match(overloaded.headers['retry-after'], /^[1-9]\d*$/)
          for (const { headers } of [limited, overloaded]) t.notOk('x-should-retry' in headers)
        })
      })
    }
  }

  t.test('so are wrong methods, unknown routes and bodies that are too large', async (t) => {
    const headers = { authorization: `Bearer ${KEY}` }
    const tooLarge = { ...headers, 'content-length': '2000000000' }
    for (const [path, call, status] of [
      [messages.path, { method: 'GET', headers }, 405],
      [responses.path, { method: 'DELETE', headers }, 405],
      ['/v1/nothing', { headers }, 404],
      [`${responses.path}/resp_1`, { headers }, 404],
      ['/v1/models/no-such-model', { headers }, 404],
      [chat.path, { method: 'POST', headers: tooLarge, body: '' }, 413],
      [messages.path, { method: 'POST', headers: tooLarge, body: '' }, 413],
      ['/v1/messages/count_tokens', { body: 'no JSON', headers }, 400]
    ] as const) {
      const answer = await stand.call(path, call)
      t.equal(answer.status, status, path)
      t.equal(answer.headers['x-should-retry'], 'false', path)
    }
  })
}
