import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { requestOf } from '../counts/kinds.ts'
import { trueTokens } from '../counts/true-tokens.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { seededRandom } from '../helper/seeded-random.ts'
import { Simulator } from '../strict-simulator/simulator.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const KEY = 'test-key'
const MODEL = 'claude-haiku-5.5'
const HIDDEN = 2_050
const SIGN_IN = {
  accessToken: 'test-access-token',
  refreshToken: 'test-refresh-token',
  expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
  profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/TEST',
  region: 'us-east-1',
  authMethod: 'social',
  provider: 'Github'
}
const headers = {
  'x-api-key': KEY,
  'content-type': 'application/json',
  'anthropic-version': '2023-06-01'
}

t.test(
  'counts are learnt from answers, told apart from the hidden prompt, and kept over a restart',
  async (t) => {
    const simulator = new Simulator({ gapMs: 0, tokens: trueTokens(HIDDEN) })
    t.teardown(() => simulator.close())
    const { url } = await simulator.start()
    const stateDir = t.testdir()
    // The account is known by the file that it is signed in with.
    const credentials = join(stateDir, 'sign-in.json')
    writeFileSync(credentials, JSON.stringify(SIGN_IN))
    const env = { PROXY_API_KEY: KEY, STATE_DIR: stateDir, KIRO_CREDS_FILE: credentials }
    const start = () => startGateway({ upstreamUrl: url, env })
    const gateway = await start()
    t.teardown(() => gateway.destroy())
    const random = seededRandom(9)
    const ask = async (
      to: string,
      path: string,
      body: object
    ): Promise<Record<string, unknown>> => {
      const response = await fetch(to + path, {
        method: 'POST',
        headers,
        body: JSON.stringify(body)
      })
      const text = await response.text()
      t.equal(response.status, 200, text.slice(0, 300))
      return JSON.parse(text) as Record<string, unknown>
    }
    const requests = Array.from({ length: 20 }, (_, index) => ({
      ...requestOf(index % 4 === 0 ? 'Chinese' : index % 2 === 0 ? 'code' : 'prose', MODEL, random),
      stream: false
    }))
    const small = {
      model: MODEL,
      max_tokens: 100,
      messages: [{ role: 'user', content: 'Hello, who are you?' }]
    }
    const first = await ask(gateway.url, '/v1/messages', small)
    t.notOk(
      'hidden_tokens' in (first['usage'] as object),
      'nothing is told apart before it is known'
    )
    for (const request of requests) await ask(gateway.url, '/v1/messages', request)
    const { usage } = (await ask(gateway.url, '/v1/messages', small)) as {
      usage: Record<string, number>
    }
    const { hidden_tokens: hidden = 0, input_tokens: input = 0, tokens_within: within = 0 } = usage
    t.ok(Math.abs(hidden - HIDDEN) < 400, `hidden: ${hidden}`)
    t.ok(input > 0 && input < 400, `input: ${input}`)
    t.ok(within > 0 && within < 1_500, `within: ${within}`)
    const before = gateway.lines.length
    for (const pid of gateway.workerPids()) process.kill(pid, 'SIGKILL')
    await gateway.logged(
      ({ msg, state }) => msg === 'worker changed state' && state === 'ready',
      before
    )
    const { hidden_tokens: known } = await ask(gateway.url, '/v1/messages/count_tokens', small)
    t.ok(
      Math.abs(Number(known) - hidden) < 400,
      `a new worker knows what others learnt: ${String(known)}`
    )
    const large = requestOf('code', MODEL, random)
    const counted = await ask(gateway.url, '/v1/messages/count_tokens', large)
    const answered = (await ask(gateway.url, '/v1/messages', { ...large, stream: false })) as {
      usage: Record<string, number>
    }
    const told = (answered.usage['input_tokens'] ?? 0) + (answered.usage['hidden_tokens'] ?? 0)
    const all = Number(counted['input_tokens']) + Number(counted['hidden_tokens'])
    t.ok(Math.abs(all / told - 1) < 0.06, `${all} counted, ${told} measured`)
    const metrics = await (
      await fetch(`${gateway.url}/metrics`, { headers: { authorization: `Bearer ${KEY}` } })
    ).text()
    t.match(
      metrics,
      /kiro_gateway_token_count_error_ratio\{model="claude-haiku-5.5",quantile="0.95"\} 0\.\d/
    )
    await gateway.stop()
    const file = join(stateDir, 'token-counts.json')
    t.equal(statSync(file).mode & 0o777, 0o600)
    t.notMatch(readFileSync(file, 'utf8'), /export|Hello/, 'numbers alone')
    const again = await start()
    t.teardown(() => again.destroy())
    t.match(await ask(again.url, '/v1/messages/count_tokens', small), { hidden_tokens: Number })
  }
)
