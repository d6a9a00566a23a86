import { setTimeout as delay } from 'node:timers/promises'
import OpenAI from 'openai'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { next, say } from '../helper/simulated-words.ts'

// What is insisted on, in every API: test/requirements/13-forced-answers.ts. What a round is worth: test/dialects/answer/round-verdict.test.ts.

t.setTimeout(600_000) // real processes, on a machine that may be busy

const KEY = 'test-key'
const simulator = new Simulator({ gapMs: 1 })
const { url } = await simulator.start()
t.teardown(() => simulator.close())
const gateway = await startGateway({
  upstreamUrl: url,
  env: {
    PROXY_API_KEY: KEY,
    UPSTREAM_MAX_ATTEMPTS: '1',
    HTTP_MAX_CONNECTIONS: '2',
    HEARTBEAT_INTERVAL: '0.5'
  }
})
t.teardown(() => gateway.destroy())

/** Raw, to see what comes before the first data. */
function streamJson(prompt: string, signal?: AbortSignal): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}` },
    body: JSON.stringify({
      model: 'claude-haiku-4.5',
      messages: [{ role: 'user', content: prompt }],
      response_format: { type: 'json_object' },
      stream: true
    }),
    ...(signal && { signal })
  })
}

/** Generations that the upstream was asked for so far. */
function calls(): number {
  return simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
}

t.test('an answer that is wrong is asked for once more, and both rounds are counted', async (t) => {
  const before = calls()
  const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: KEY, maxRetries: 0 })
  const answer = await openai.chat.completions
    .stream({
      model: 'claude-haiku-4.5',
      messages: [{ role: 'user', content: `${say('[1]')} ${next(say('{"a":1}'))}` }],
      response_format: { type: 'json_object' },
      stream_options: { include_usage: true }
    })
    .finalChatCompletion()
  t.match(answer.choices, [{ finish_reason: 'stop', message: { content: '{"a":1}' } }])
  t.equal(calls() - before, 2)
  t.ok((answer.usage?.prompt_tokens ?? 0) > 100, 'both rounds are counted')
})

t.test('an answer that is held', async (t) => {
  t.test('is announced by heartbeats, in both rounds', async (t) => {
    const second = `${say('{"a": 1, "b": 2}')} sim:gap=300`
    const text = await (
      await streamJson(`${say('one two three')} sim:gap=300 ${next(second)}`)
    ).text()
    t.match(text, /^(: ping\n\n){2,}data: \{.*\n\ndata: .*\n\ndata: \[DONE\]\n\n$/)
    t.match(text, /\{\\"a\\": 1, \\"b\\": 2\}/)
  })

  t.test('and fails after a heartbeat fails inside the stream, without an end', async (t) => {
    const wrong = `${say('one two three')} sim:gap=300`
    const text = await (await streamJson(`${wrong} ${next(wrong)}`)).text()
    t.match(text, /"code":"answer_invalid"/)
    t.notMatch(text, /DONE|finish_reason/)
  })

  t.test('is given up with its client, in either round', async (t) => {
    for (const prompt of [
      `${say('one two')} sim:stall`,
      `${say('one two')} ${next(`${say('one two')} sim:stall`)}`
    ]) {
      const stop = new AbortController()
      const response = await streamJson(prompt, stop.signal)
      t.equal(response.status, 200, 'by a heartbeat')
      stop.abort()
      await response.text().catch(() => {})
      await whenNothingRuns()
    }
    t.equal(simulator.stats().inFlight, 0)
  })
})

/** The upstream sees at once when a call is given up. */
async function whenNothingRuns(): Promise<void> {
  while (simulator.stats().inFlight > 0) await delay(5)
}

async function scrape(): Promise<string> {
  const headers = { 'x-api-key': KEY }
  return (await fetch(`${gateway.url}/metrics`, { headers })).text()
}

t.test('no permit is left behind', async (t) => {
  let metrics = await scrape()
  // The upstream may see the end of the last call before the gateway has its permit back.
  while (!/kiro_gateway_pool_permits_in_use(?:\{[^}]*\})? 0/.test(metrics)) metrics = await scrape()
  t.match(metrics, /kiro_gateway_answers_asked_again_total\{[^}]*reason="json"[^}]*\} \d+/)
  t.ok(simulator.stats().connections.max <= 2)
})
