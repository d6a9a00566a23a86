import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { requestOf } from '../counts/kinds.ts'
import { trueTokens } from '../counts/true-tokens.ts'
import { startChat } from '../helper/chat-client.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, isReady, problemsOf, until } from '../helper/fleet-team.ts'
import type { GatewayProcess, LogLine } from '../helper/gateway-process.ts'
import { seededRandom } from '../helper/seeded-random.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(600_000) // real processes, on a machine that may be very busy

const skip = whyNoEngine()
const NAMES = ['a', 'b'] as const
const WELL = '[DONE]\n\n'

/** Somebody else in Valkey. */
function stranger(t: Test, url: string): Redis {
  const client = new Redis(url, { maxRetriesPerRequest: 5 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

function starts(words: string): (line: LogLine) => boolean {
  return ({ msg }) => String(msg).startsWith(words)
}

async function serves(gateway: GatewayProcess): Promise<boolean> {
  return (await startChat(gateway.url, 'hi').answer).text.endsWith(WELL)
}

t.test(
  'keys of another kind where records should be hold nobody up',
  { skip: skip || skipByDay },
  async (t) => {
    const team = await FleetTeam.start(t, {
      names: [],
      max: 10,
      env: { FLEET_REPLICAS: '2' }
    })
    const client = stranger(t, team.engine.url)
    const kinds = ['account', 'recorded', 'usage', 'keys', 'sign-in.files']
    for (const kind of kinds) await client.lpush(`{kiro:kiro}:record:${kind}`, 'x')
    for (const name of NAMES) await team.add(name).ready()
    await team.allServe()
    for (const name of NAMES) t.ok(await serves(team.get(name)), name)
    t.equal(await client.type('{kiro:kiro}:record:recorded'), 'hash', 'it is replaced')
  }
)

t.test('records that cannot be had are told of, and all goes on', { skip }, async (t) => {
  const team = await FleetTeam.start(t, { names: NAMES, max: 10 })
  await team.allServe()
  const a = team.get('a')
  t.ok(await serves(a))
  const client = stranger(t, team.engine.url)
  // From now on there are no records but the ledger; somebody has changed one, as it seems.
  const keys = ['~{kiro:kiro}:ledger', '~{kiro:kiro}:beats']
  await client.call('ACL', 'SETUSER', 'default', 'resetkeys', ...keys)
  await client.publish('{kiro:kiro}:news', 'record account')
  await until(async () => /"unshared":\[[^\]]*"account"/.test(await problemsOf(a)))
  t.ok(await isReady(a), 'it serves')
  t.ok(await serves(a))
  const line = await a.logged(starts("the fleet's Valkey answers, but"))
  t.equal(line['level'], 'warn')
  await client.call('ACL', 'SETUSER', 'default', '~*')
  await until(async () => (await problemsOf(a)).includes('"unshared":[]'))
})

t.test(
  'what one gateway has learnt of counts, the other counts by',
  { skip: skip || skipByDay },
  async (t) => {
    const upstream = { gapMs: 0, tokens: trueTokens(2_050) }
    const team = await FleetTeam.start(t, { names: NAMES, max: 10, upstream })
    await team.allServe()
    const request = requestOf('code', 'claude-haiku-5.5', seededRandom(9))
    const ask = async (name: string, path: string): Promise<Record<string, unknown>> => {
      const headers = { 'content-type': 'application/json', 'anthropic-version': '2023-06-01' }
      const body = JSON.stringify({ ...request, stream: false })
      const response = await fetch(team.get(name).url + path, { method: 'POST', headers, body })
      t.equal(response.status, 200)
      return JSON.parse(await response.text()) as Record<string, unknown>
    }
    const cold = await ask('b', '/v1/messages/count_tokens')
    await ask('a', '/v1/messages')
    let learnt = cold
    await until(async () => {
      learnt = await ask('b', '/v1/messages/count_tokens')
      return learnt['input_tokens'] !== cold['input_tokens']
    })
    t.ok(Number(learnt['tokens_within']) < Number(cold['tokens_within']), 'and is surer of it')
  }
)
