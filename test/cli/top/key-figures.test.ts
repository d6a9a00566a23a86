import { createServer } from 'node:http'
import t from 'tap'
import { readFigures, Readings } from '../../../src/cli/top/key-figures.ts'
import { runCommandHere } from '../../helper/command-here.ts'
import { serverUrl } from '../../helper/server-url.ts'

const TEXT = `# HELP kiro_gateway_key_streams Requests.
# TYPE kiro_gateway_key_streams gauge
kiro_gateway_key_streams{key="anna"} 2
kiro_gateway_key_waiting{key="anna"} 1
kiro_gateway_key_refusals_total{key="anna",code="GW_KEY_LIMIT"} 3
kiro_gateway_key_refusals_total{key="anna",code="GW_KEY_RATE"} 4
kiro_gateway_key_credits_total{key="x\\"y, key=\\"z"} 1.5e+1
kiro_gateway_requests_in_flight 7
kiro_gateway_pool_waiters 3
kiro_gateway_gated_requests 2
kiro_gateway_requests_total{route="messages",status="200",code="none"} 3
kiro_gateway_requests_total{route="messages",status="429",code="GW_KEY_LIMIT"} 2
kiro_gateway_credits_total 1.25
kiro_gateway_tokens_total{type="input"} 9
nonsense
`

t.test('readFigures()', async (t) => {
  const { keys, totals, inFlight, waiting, gated } = readFigures(TEXT, 5)
  t.same(totals, { requests: 5, credits: 1.25 })
  t.match({ inFlight, waiting, gated }, { inFlight: 7, waiting: 3, gated: 2 })
  t.same(keys.get('anna'), {
    streams: 2,
    waiting: 1,
    requests: 0,
    refusals: 7,
    credits: 0,
    reserved: 0
  })
  t.equal(keys.get('x"y, key="z')?.credits, 15)
  t.equal(keys.size, 2)
  t.equal(readFigures('', 5).keys.size, 0)
})

t.test('Readings', async (t) => {
  const readings = new Readings()
  const add = (seconds: number, credits: number): void =>
    readings.add(
      readFigures(`kiro_gateway_key_credits_total{key="anna"} ${credits}`, seconds * 1000)
    )
  t.equal(readings.creditsPerHour('anna'), null)
  add(0, 10)
  t.equal(readings.creditsPerHour('anna'), null)
  add(60, 11)
  t.equal(readings.creditsPerHour('anna'), 60)
  t.equal(readings.creditsPerHour('ben'), 0)
  add(120, 1) // the gateway was started again
  t.equal(readings.creditsPerHour('anna'), null)
  add(180, 2)
  t.equal(readings.creditsPerHour('anna'), 60)
  add(180 + 3600, 2)
  t.equal(readings.creditsPerHour('anna'), 0, 'of the last hour')
})

t.test(
  'Readings: of a gateway without named keys, and of one that was started again',
  async (t) => {
    const readings = new Readings()
    const add = (seconds: number, text: string): void =>
      readings.add(readFigures(text, seconds * 1000))
    t.equal(readings.totalCreditsPerHour, null)
    add(0, 'kiro_gateway_credits_total 10\nkiro_gateway_key_credits_total{key="anna"} 10')
    add(60, 'kiro_gateway_credits_total 12\nkiro_gateway_key_credits_total{key="anna"} 12')
    t.equal(readings.totalCreditsPerHour, 120)
    add(120, '') // started again, and not used since
    t.equal(readings.creditsPerHour('anna'), null)
    add(180, 'kiro_gateway_credits_total 1\nkiro_gateway_key_credits_total{key="anna"} 1')
    t.equal(readings.totalCreditsPerHour, 60)
    t.equal(readings.creditsPerHour('anna'), 60, 'what came before the start does not count')
  }
)

t.test('top shows no figures of an answer without any', async (t) => {
  const server = createServer((_, response) => response.end())
  const { href: url } = await serverUrl(server)
  t.teardown(() => server.close())
  const done = await runCommandHere(['top', '--once', '--url', url], { cwd: t.testdir() })
  t.match(done, { code: 2, stderr: /\/metrics answered with nothing, or with too much/ })
})
