import type { Test } from 'tap'
import { readAnthropicStream } from '../helper/anthropic-grammar.ts'
import { readOpenAiStream } from '../helper/openai-grammar.ts'
import { readResponsesStream } from '../helper/responses-grammar.ts'
import { readSse } from '../helper/sse-messages.ts'
import { APIS, CHAT, MESSAGES } from './dialects.ts'
import { HEARTBEAT_MS, LATE, type Stand } from './stand.ts'

const FAILURES = ['sim:exception-mid', 'sim:error-mid', 'sim:reset', 'sim:fin', 'sim:corrupt']
/** The upstream ends its answer too early, and that ends as one that was cut (kiro-protocol §5.11). */
const CUTS = ['sim:cut-frame', 'sim:no-end']
const SAYS_CUT = /^(?:length|max_tokens|incomplete)$/

/** No stream ends as if it were whole when it is not, and none is silent while it lives. */
export async function check(t: Test, stand: Stand): Promise<void> {
  for (const api of APIS) {
    t.test(api.path, async (t) => {
      for (const failure of FAILURES) {
        t.test(`the upstream fails: ${failure}`, async (t) => {
          const body = api.ask(failure, { stream: true })
          const { status, text } = await stand.call(api.path, { body })
          t.equal(status, 200)
          t.match(text, /simulator/, 'what was there has been delivered')
          t.notMatch(text, /\[DONE\]|message_stop|response\.completed|"stop_reason":"/)
          t.notMatch(text, /"finish_reason":"/)
          checkFailure(t, api.path, text)
          const whole = await stand.call(api.path, { body: api.ask(failure) })
          t.ok(whole.status >= 500, 'in one piece it is an HTTP error')
        })
      }

      for (const cut of CUTS) {
        t.test(`the upstream ends too early: ${cut}`, async (t) => {
          const streamed = await stand.call(api.path, { body: api.ask(cut, { stream: true }) })
          const whole = await stand.call(api.path, { body: api.ask(cut) })
          for (const said of [api.readStream(streamed.text), api.readWhole(whole.json)]) {
            t.match(said.text, /simulator/, 'what was there has been delivered')
            t.match(said.end, SAYS_CUT, 'and does not look complete')
          }
        })
      }

      t.test('heartbeats from the first silence on', async (t) => {
        const before = `${LATE} hi`
        const between = `sim:first=${HEARTBEAT_MS * 6} hi`
        const amid = `sim:gap=${HEARTBEAT_MS * 3} sim:say="one two" sim:events=2`
        const listenTo = async (prompt: string): Promise<void> => {
          const arrivals: string[] = []
          const { text } = await stand.talkative.call(api.path, {
            body: api.ask(prompt, { stream: true }),
            onText: (chunk) => arrivals.push(chunk)
          })
          const { comments } = readSse(text)
          const pings = api.path === MESSAGES ? readAnthropicStream(text).pings : 0
          t.ok(comments + pings >= 2, `${prompt}: ${comments} comments, ${pings} pings`)
          if (prompt !== amid) t.match(arrivals[0], /^:/, 'the first byte is a heartbeat')
          t.match(api.readStream(text).text, /simulator|one two/)
        }
        await Promise.all([before, between, amid].map(listenTo))
      })
    })
  }
}

function checkFailure(t: Test, path: string, text: string): void {
  if (path === MESSAGES) {
    t.match(readAnthropicStream(text).error, { type: /_error$/, message: /\w/ })
  } else if (path === CHAT) {
    const { error, finishReason } = readOpenAiStream(text)
    t.match(error, { message: /\w/, type: /_error$/ })
    t.equal(finishReason, null)
  } else {
    const { response, types } = readResponsesStream(text)
    t.equal(types.at(-1), 'response.failed')
    t.match(response, { status: 'failed', error: { code: /\w/, message: /\w/ } })
  }
}
