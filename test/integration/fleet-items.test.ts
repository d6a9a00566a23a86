import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { EngineProcess } from '../helper/engine-process.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, until } from '../helper/fleet-team.ts'
import type { GatewayProcess } from '../helper/gateway-process.ts'
import { ownTimeOf } from '../helper/in-time.ts'

t.setTimeout(600_000)

const skip = whyNoEngine()
const KEYS = 'first-key-of-the-operator,second-key-of-the-operator'
const [FIRST = '', SECOND = ''] = KEYS.split(',')

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
  readonly ms: number
}

async function ask(gateway: GatewayProcess, body: object, key = FIRST): Promise<Answer> {
  const began = performance.now()
  const answer = await fetch(`${gateway.url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: 'claude-haiku-4.5', ...body })
  })
  const text = await answer.text()
  return { status: answer.status, body: JSON.parse(text), ms: performance.now() - began }
}

/** Asks, and gives the id of the message that was answered. */
async function make(gateway: GatewayProcess, text: string, key = FIRST): Promise<string> {
  const { status, body } = await ask(gateway, { input: `${text} sim:gap=0` }, key)
  if (status !== 200) throw new Error(JSON.stringify(body))
  const output = body['output'] as readonly { readonly type: string; readonly id: string }[]
  return output.find(({ type }) => type === 'message')?.id ?? ''
}

function refer(id: string) {
  return {
    input: [
      { type: 'item_reference', id },
      { role: 'user', content: 'and now?' }
    ]
  }
}

/** Everything that Valkey has put on its disk. */
function dumped({ folder }: EngineProcess): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n')
}

t.test('an answer of one gateway is an item of all', { skip }, async (t) => {
  const team = await FleetTeam.start(t, {
    names: ['a', 'b'],
    max: 10,
    engineConfig: ['appendonly yes', 'appendfsync always'],
    env: { PROXY_API_KEY: KEYS }
  })
  await team.allServe()
  const [a, b] = [team.get('a'), team.get('b')]
  const timed = ownTimeOf(t, [b.child.pid ?? 0, ...b.workerPids()])
  const word = 'very-particular-words-that-nobody-else-says'

  t.test('at once, for the key that made it and no other', async (t) => {
    const id = await make(a, `sim:say="${word}"`)
    const there = await ask(b, refer(id))
    t.equal(there.status, 200, JSON.stringify(there.body).slice(0, 300))
    t.comment(`${there.ms.toFixed(0)} ms at the other gateway`)
    const foreign = await ask(b, refer(id), SECOND)
    t.equal(foreign.status, 400)
    t.match(JSON.stringify(foreign.body), /not found/)
    const files = readdirSync(`${b.folder}/.local/state/kiro-gateway/responses`)
    t.ok(files.length >= 1, 'and lies there from now on')
  })

  t.test('Valkey has no word of it on its disk', async (t) => {
    const text = dumped(team.engine)
    t.match(text, /record:item\.[0-9a-f]{40}/, 'what it has is there')
    t.notMatch(text, word)
    t.notMatch(text, 'output_text')
    t.notMatch(text, FIRST)
  })

  t.test('what stands in Valkey is not believed where somebody has changed it', async (t) => {
    const client = new Redis(team.engine.url)
    t.teardown(() => client.disconnect())
    const known = new Set(await client.keys('*:record:item.*'))
    /** Both records of an answer: its own, and that of its input. */
    const next = async (): Promise<readonly string[]> => {
      let fresh: readonly string[] = []
      await until(async () => {
        fresh = (await client.keys('*:record:item.*')).filter((name) => !known.has(name))
        return fresh.length === 2
      })
      for (const name of fresh) known.add(name)
      return fresh
    }
    const id = await make(a, 'sim:say="not to be changed"')
    const [before = ''] = await next()
    const other = await make(a, 'sim:say="to be changed"')
    const made = await next()
    for (const value of ['nonsense', (await client.hget(before, 'value')) ?? '']) {
      for (const name of made) await client.hset(name, 'value', value) // also that of another answer
      const refused = await ask(b, refer(other))
      t.match([refused.status, JSON.stringify(refused.body)], [400, /not found/])
    }
    t.equal((await ask(b, refer(id))).status, 200)
    const said = b.lines.filter(({ msg }) => String(msg).includes('cannot be decrypted'))
    t.equal(said.length, 1, 'said once')
  })

  t.test('Valkey is gone: its own are found, of others it says why not', async (t) => {
    const [own, other] = [await make(b, 'mine'), await make(a, 'yours')]
    await team.engine.stop('SIGKILL')
    await delay(100)
    t.equal((await ask(b, refer(own))).status, 200)
    const ms = await timed(async () => {
      const refused = await ask(b, refer(other))
      t.equal(refused.status, 503)
      t.match(JSON.stringify(refused.body), /fleet's Valkey does not answer/)
    })
    t.ok(ms < 3_000, `after ${ms.toFixed(0)} ms`)
    const meanwhile = await make(a, 'while it is away')
    await team.engine.start()
    await team.allServe()
    const after = await until(async () => (await ask(b, refer(meanwhile))).status === 200)
    t.comment(`what was made meanwhile is shared ${after.toFixed(0)} ms after its return`)
    t.equal((await ask(b, refer(other))).status, 200, 'and so is what it had before')
  })

  t.test('a frozen Valkey holds nobody up for long', async (t) => {
    const id = await make(a, 'before the frost')
    await delay(300)
    team.engine.pause()
    const ms = await timed(async () => t.equal((await ask(b, refer(id))).status, 503))
    team.engine.goOn()
    t.ok(ms < 5_000, `after ${ms.toFixed(0)} ms`)
    await until(async () => (await ask(b, refer(id))).status === 200)
  })

  t.test('a very large one stays where it was made', async (t) => {
    const id = await make(a, 'sim:events=600 sim:size=1000 sim:gap=0')
    t.equal((await ask(a, refer(id))).status, 200)
    const elsewhere = await ask(b, refer(id))
    t.equal(elsewhere.status, 400)
    t.match(JSON.stringify(elsewhere.body), /send the item itself/)
  })
})
