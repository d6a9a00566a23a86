import type { Test } from 'tap'
import { say } from '../helper/simulated-words.ts'
import { APIS } from './dialects.ts'
import type { Stand } from './stand.ts'

const TEXT = 'Grüße, 世界 🎉\n"quoted" \\ and\ta tab'

/** The same answer streamed and in one piece, on all three APIs; a missing `stream` is no stream. */
export async function check(t: Test, stand: Stand): Promise<void> {
  for (const api of APIS) {
    t.test(api.path, async (t) => {
      const tools = [api.tool('get_weather'), api.tool('get_time')]
      const calls =
        'call tools get_weather with {"city":"Oslo"} and get_time with {"city":"Ålesund"}'
      for (const [what, prompt, more] of [
        ['text', say(TEXT), {}],
        ['parallel calls', calls, { tools }],
        ['an answer that the model’s limit cut', 'sim:max-tokens', {}],
        ['an answer that was filtered', 'sim:filtered', {}],
        ['an answer that filled the window', 'sim:context-full', {}],
        ['a call that broke off', `${calls} sim:truncated-tool`, { tools }],
        ['no words', `${say('')} sim:filtered`, {}],
        ['an answer that ended inside a frame', 'sim:cut-frame', {}]
      ] as const) {
        t.test(what, async (t) => {
          const whole = await stand.call(api.path, { body: api.ask(prompt, more) })
          const said = await stand.call(api.path, {
            body: api.ask(prompt, { ...more, stream: false })
          })
          const streamed = await stand.call(api.path, {
            body: api.ask(prompt, { ...more, stream: true })
          })
          t.match(whole.headers['content-type'], /^application\/json/)
          t.match(streamed.headers['content-type'], /^text\/event-stream/)
          t.notOk('content-encoding' in streamed.headers)
          for (const { status } of [whole, said, streamed]) t.equal(status, 200)
          t.same(api.readWhole(whole.json), api.readStream(streamed.text))
          t.same(api.readWhole(said.json), api.readStream(streamed.text))
          if (what === 'a call that broke off') {
            const { calls: left, end } = api.readWhole(whole.json)
            t.same(left, [{ name: 'get_weather', input: { city: 'Oslo' } }], 'only the whole one')
            t.notMatch(end, /^(?:stop|end_turn)$/)
          }
        })
      }
      t.test('text is what the model said', async (t) => {
        const { json } = await stand.call(api.path, { body: api.ask(say(TEXT)) })
        t.equal(api.readWhole(json).text, TEXT)
      })
    })
  }
}
