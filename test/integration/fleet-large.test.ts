import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import t from 'tap'
import { startChat } from '../helper/chat-client.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, until } from '../helper/fleet-team.ts'
import { isNightly } from '../helper/nightly.ts'

t.setTimeout(isNightly ? 1_100_000 : 540_000) // real processes, on a machine that may be very busy

const LARGE = 64 * 2 ** 20
/** How much the primary may grow while somebody writes so much into Valkey. */
const MOST_MB = 24

/** One that is read and one that is heard. */
const BY_DAY = new Set(['the state of the register', 'a message'])

const key = (name: string): string => `{kiro:kiro}:${name}`

/** Proportional memory of a process, in MB. */
function pssOf(pid: number): number {
  const found = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))
  return Number(found?.[1]) / 1024
}

/** How many scripts Valkey has run for the gateways, which do everything by scripts: they read, beat and write. */
async function scriptsOf(client: Redis): Promise<number> {
  const found = /^cmdstat_eval:calls=(\d+)/m.exec(await client.info('commandstats'))
  return Number(found?.[1] ?? 0)
}

/** Enough for both gateways to have asked again for whatever they ask. */
const SCRIPTS = 60

/** Resolves when Valkey has sent the gateways all that it has for them, and they have gone on asking. */
async function taken(client: Redis): Promise<void> {
  const before = await scriptsOf(client)
  await until(async () => !/ omem=[1-9]/.test(String(await client.client('LIST'))))
  await until(async () => (await scriptsOf(client)) >= before + SCRIPTS)
}

t.test(
  'values and messages of 64 MB cost a gateway next to nothing',
  { skip: whyNoEngine() },
  async (t) => {
    const team = await FleetTeam.start(t, {
      names: ['a', 'b'],
      max: 20,
      // By default a Valkey drops whoever is to hear more than 32 MB.
      engineConfig: ['client-output-buffer-limit pubsub 0 0 0']
    })
    await team.allServe()
    const client = new Redis(team.engine.url)
    t.teardown(() => client.disconnect())
    const large = Buffer.alloc(LARGE, 'x')
    const put = (name: string, field: string) => async () => {
      await client.hset(key(name), field, large)
      await client.publish(
        key('news'),
        name === 'ledger' ? String(2 ** 46) : name.replace(/^record:/, 'record ')
      )
    }
    const hostile: Readonly<Record<string, () => Promise<unknown>>> = {
      'the state of the register': put('ledger', 'state'),
      'a beat': put('beats', 'x'),
      'the value of a record': put('record:account', 'value'),
      'a record that is a text': () => client.set(key('record:account'), large),
      'a message': () => client.publish(key('news'), large),
      'a message like one of a record': () =>
        client.publish(key('news'), `record ${large.toString()}`)
    }
    const pid = team.get('a').child.pid ?? 0
    for (const [what, write] of Object.entries(hostile)) {
      if (!isNightly && !BY_DAY.has(what)) continue
      const before = pssOf(pid)
      let peak = before
      const look = setInterval(() => {
        peak = Math.max(peak, pssOf(pid))
      }, 5)
      t.teardown(() => clearInterval(look)) // where the time is over before it is
      await write()
      await taken(client)
      clearInterval(look)
      t.ok(peak - before < MOST_MB, `${what}: ${Math.round(peak - before)} MB more`)
      await client.del(key('beats'), key('ledger'), key('record:account'))
      await team.allServe()
    }
    const { status } = await startChat(team.get('a').url, 'sim:events=3').answer
    t.equal(status, 200)
    await until(() => team.census <= 20)
  }
)
