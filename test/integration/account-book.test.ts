import { readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { AlertReceiver } from '../helper/alert-receiver.ts'
import { type ChatAnswer, isComplete, startChat } from '../helper/chat-client.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { DashboardReader } from '../helper/dashboard-reader.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { isNightly, skipByDay } from '../helper/nightly.ts'
import { OwnDisk } from '../helper/own-disk.ts'
import { PricedUpstream } from '../helper/priced-upstream.ts'
import { stateFolder } from '../helper/state-folder.ts'
import { Starvation } from '../soak/starvation.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy
t.jobs = 2 // most of them wait, each with gateways of its own

const OPERATOR = 'operators-own-key'
const NO_TMPFS = { skip: OwnDisk.whyNot('tmpfs') || skipByDay }
const NO_EXT4 = { skip: OwnDisk.whyNot('ext4') }

interface RigOptions {
  readonly stateDir?: string
  readonly env?: Readonly<Record<string, string>>
}

/** An upstream with a price, a folder, and the keys that are made in it by the command. */
class Rig {
  readonly upstream: PricedUpstream
  readonly stateDir: string
  readonly #t: Test
  readonly #env: Readonly<Record<string, string>>

  private constructor(t: Test, upstream: PricedUpstream, { stateDir, env = {} }: RigOptions) {
    this.#t = t
    this.#env = env
    this.upstream = upstream
    this.stateDir = stateDir ?? stateFolder(t)
  }

  static async create(t: Test, options: RigOptions = {}): Promise<Rig> {
    return new Rig(t, await PricedUpstream.start(t), options)
  }

  command(...args: readonly string[]) {
    return runCommandHere(args, { cwd: this.stateDir, env: { STATE_DIR: this.stateDir } })
  }

  /** Makes a key; returns what its client has to send. */
  async addKey(...args: readonly string[]): Promise<Record<string, string>> {
    const { stdout } = await this.command('key', 'add', ...args, '--json')
    return { 'x-api-key': String(JSON.parse(stdout).key) }
  }

  async start(workers = 2): Promise<GatewayProcess> {
    const gateway = await startGateway({
      upstreamUrl: this.upstream.origin,
      env: {
        STATE_DIR: this.stateDir,
        WORKERS: String(workers),
        PROXY_API_KEY: OPERATOR,
        WORKER_STALL_TIMEOUT: 'none',
        ...this.#env
      }
    })
    this.#t.teardown(() => gateway.destroy())
    return gateway
  }
}

function ask({ url }: GatewayProcess, headers: Record<string, string>): Promise<ChatAnswer> {
  return startChat(url, 'hi', { headers }).answer
}

/** Sends so many at once; returns how many were answered. */
async function burst(gateway: GatewayProcess, headers: Record<string, string>, count: number) {
  const answers = await Promise.all(Array.from({ length: count }, () => ask(gateway, headers)))
  for (const { status } of answers)
    if (status !== 200 && status !== 429) throw new Error(`${status}`)
  return answers.filter(isComplete).length
}

interface Ready {
  readonly status: string
  readonly problems: readonly string[]
  readonly codes: readonly string[]
}

async function readyOf({ url }: GatewayProcess): Promise<Ready & { readonly http: number }> {
  const answer = await fetch(`${url}/readyz`, { headers: { 'x-api-key': OPERATOR } })
  return { http: answer.status, ...((await answer.json()) as Ready) }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(100)
}

/** Asks until an answer has this status. */
async function askUntil(gateway: GatewayProcess, headers: Record<string, string>, status: number) {
  for (;;) {
    const answer = await ask(gateway, headers)
    if (answer.status === status) return answer
    await delay(20)
  }
}

/** Waits until the gateway says that its book is in trouble, and checks that it says so everywhere. */
async function checkTold(t: Test, gateway: GatewayProcess, said: RegExp): Promise<void> {
  await until(async () => (await readyOf(gateway)).codes.includes('usage-book'))
  const ready = await readyOf(gateway)
  t.match(ready, { http: 200, status: 'ready', codes: ['usage-book'], problems: [said] })
  const page = new DashboardReader(gateway.url, { authorization: `Bearer ${OPERATOR}` })
  await page.until(
    ({ account }) => account?.problems.some(({ code }) => code === 'GW_KEY_BOOK') === true
  )
  page.close()
  const { stdout } = await runCommandHere(['doctor', '--json'], {
    cwd: gateway.folder,
    env: {
      SERVER_PORT: new URL(gateway.url).port,
      PROXY_API_KEY: OPERATOR,
      STATE_DIR: gateway.folder
    }
  })
  t.match(stdout, /gateway-usage/, 'doctor says so')
}

for (const workers of isNightly ? [1, 2, 4] : [2]) {
  t.test(
    `30 at once with ${workers} workers: no more answers than the limit has room for`,
    async (t) => {
      const rig = await Rig.create(t)
      rig.upstream.cost = 4
      const [cold, known, again] = await Promise.all([
        rig.addKey('cold', '--credits', '10/total'),
        rig.addKey('known', '--credits', '10/total'),
        rig.addKey('again', '--credits', '10/total')
      ])
      const teacher = await rig.addKey('teacher')
      const gateway = await rig.start(workers)
      const first = await burst(gateway, cold, 30)
      t.ok(first >= 1 && first <= 3, `${first} before anybody knew the price`)
      for (let n = 0; n < 20; n++) await askUntil(gateway, teacher, 200)
      const second = await burst(gateway, known, 30)
      t.ok(second >= 2 && second <= 3, `${second} once it was known`)
      t.equal(await gateway.stop(), 0)
      const third = await burst(await rig.start(workers), again, 30)
      t.ok(third >= 2 && third <= 3, `${third} after a restart`)
    }
  )
}

t.test('what was used is told at once: at 80 %, and why a request was refused', async (t) => {
  const receiver = await AlertReceiver.start(t)
  const rig = await Rig.create(t, { env: { ALERT_WEBHOOK_URL: receiver.url } })
  rig.upstream.cost = 4
  const anna = await rig.addKey('anna', '--credits', '5/total')
  const gateway = await rig.start()
  t.ok(isComplete(await ask(gateway, anna)))
  const endedAt = performance.now()
  await receiver.count(1)
  t.comment(`told ${Math.round(performance.now() - endedAt)} ms after the end`)
  t.match(receiver.received[0]?.json['text'], /"anna" has used 80 % of its limit: 4 of 5 credits/)
  const { text } = await ask(gateway, anna)
  t.match(text, /The remaining 1 are less than the 4 that/)
  await receiver.count(2)
  t.match(
    receiver.received[1]?.json['text'],
    /has too few credits left for a request, which was refused: 4 of 5 credits/
  )
})

t.test(
  'a disk that is full: keys with a limit wait, all others are served, and it heals',
  NO_TMPFS,
  async (t) => {
    const disk = OwnDisk.mount(t, 'tmpfs', 2)
    const rig = await Rig.create(t, { stateDir: disk.folder })
    const [anna, ben] = [
      await rig.addKey('anna', '--credits', '1000/total'),
      await rig.addKey('ben')
    ]
    const gateway = await rig.start()
    t.ok(isComplete(await ask(gateway, anna)))
    disk.fill()
    const refusal = await askUntil(gateway, anna, 503)
    t.match(refusal.text, /GW_KEY_BOOK|cannot record usage/)
    t.ok(isComplete(await ask(gateway, ben)), 'a key without a limit is served')
    await checkTold(t, gateway, /cannot be recorded .*full/)
    disk.makeRoom()
    await askUntil(gateway, anna, 200)
    await until(async () => (await readyOf(gateway)).codes.length === 0)
    await checkSums(t, rig, gateway, anna)
  }
)

t.test(
  'a book that another program has locked when the gateway starts',
  { skip: skipByDay },
  async (t) => {
    const rig = await Rig.create(t)
    const [anna, ben] = [
      await rig.addKey('anna', '--credits', '1000/total'),
      await rig.addKey('ben')
    ]
    const first = await rig.start()
    t.ok(isComplete(await ask(first, anna)))
    t.equal(await first.stop(), 0)
    const lock = new DatabaseSync(join(rig.stateDir, 'usage.db'))
    lock.exec('BEGIN EXCLUSIVE')
    const begun = performance.now()
    const gateway = await rig.start()
    t.comment(`ready after ${Math.round(performance.now() - begun)} ms`)
    t.ok(isComplete(await ask(gateway, ben)), 'a key without a limit is served at once')
    t.match(await ask(gateway, anna), { status: 503, text: /cannot record usage/ })
    await checkTold(t, gateway, /cannot be recorded/)
    lock.close()
    await askUntil(gateway, anna, 200)
    await until(async () => (await readyOf(gateway)).codes.length === 0)
    await checkSums(t, rig, gateway, anna)
  }
)

t.test('a disk that is read-only when the gateway starts', NO_TMPFS, async (t) => {
  const disk = OwnDisk.mount(t, 'tmpfs', 8)
  const rig = await Rig.create(t, { stateDir: disk.folder })
  const [anna, ben] = [await rig.addKey('anna', '--credits', '1000/total'), await rig.addKey('ben')]
  disk.remount('ro')
  const gateway = await rig.start()
  t.match(await ask(gateway, anna), { status: 503, text: /cannot record usage/ })
  t.ok(isComplete(await ask(gateway, ben)))
  await checkTold(t, gateway, /cannot be recorded/)
  disk.remount('rw')
  await askUntil(gateway, anna, 200)
  await until(async () => (await readyOf(gateway)).codes.length === 0)
})

t.test(
  'a disk that becomes read-only while the gateway runs',
  { skip: NO_EXT4.skip || skipByDay },
  async (t) => {
    const disk = OwnDisk.mount(t, 'ext4', 32)
    const rig = await Rig.create(t, { stateDir: disk.folder })
    const [anna, ben] = [
      await rig.addKey('anna', '--credits', '1000/total'),
      await rig.addKey('ben')
    ]
    const gateway = await rig.start()
    t.ok(isComplete(await ask(gateway, anna)))
    disk.failForGood()
    const refusal = await askUntil(gateway, anna, 503)
    t.match(refusal.text, /cannot record usage/)
    t.ok(isComplete(await ask(gateway, ben)), 'a key without a limit is served')
    await checkTold(t, gateway, /cannot be recorded/)
  }
)

t.test('a disk that stands still for five seconds holds up no stream', NO_EXT4, async (t) => {
  const disk = OwnDisk.mount(t, 'ext4', 32)
  const rig = await Rig.create(t, { stateDir: disk.folder })
  const [anna, ben] = [await rig.addKey('anna', '--credits', '1000/total'), await rig.addKey('ben')]
  const gateway = await rig.start()
  for (const key of [anna, ben]) t.ok(isComplete(await ask(gateway, key)))
  rig.upstream.events = 160
  rig.upstream.paceMs = 50
  const starvation = new Starvation(gateway.workerPids())
  t.teardown(() => starvation.close())
  const paced = [anna, ben, ben].map((key) => pacedGap(gateway, key))
  await delay(1_000)
  await disk.freeze()
  rig.upstream.events = 1
  const others: number[] = []
  for (let n = 0; n < 50; n++) {
    const begun = performance.now()
    await askUntil(gateway, ben, 200)
    others.push(performance.now() - begun)
    await delay(100)
  }
  await disk.thaw()
  for (const gapMs of await Promise.all(paced)) {
    const starvedMs = starvation.totalMs()
    const about = `a gap of ${Math.round(gapMs)} ms; the workers had no core for ${Math.round(starvedMs)} ms`
    t.ok(gapMs - starvedMs <= 300, about)
  }
  t.comment(`other requests took ${Math.round(Math.max(...others))} ms at most`)
  await until(async () => (await readyOf(gateway)).codes.length === 0)
  await checkSums(t, rig, gateway, anna)
})

for (const [what, damage, skip] of [
  ['truncated', (path: string) => truncateSync(path, 6_000), false],
  ['scribbled over', scribble, skipByDay]
] as const) {
  t.test(
    `a book that was ${what} is set aside, and limits stay closed until they are reopened`,
    { skip },
    async (t) => {
      const rig = await Rig.create(t)
      const [anna, ben] = [
        await rig.addKey('anna', '--credits', '10/total'),
        await rig.addKey('ben')
      ]
      const first = await rig.start()
      for (let n = 0; n < 3; n++) t.ok(isComplete(await ask(first, anna)))
      t.equal(await first.stop(), 0)
      const path = join(rig.stateDir, 'usage.db')
      damage(path)
      const gateway = await rig.start()
      t.match(await ask(gateway, anna), { status: 503, text: /key reopen/ })
      t.ok(isComplete(await ask(gateway, ben)))
      const names = readdirSync(rig.stateDir)
      t.ok(
        names.some((name) => name.startsWith('usage.db.damaged-')),
        names.join(' ')
      )
      await checkTold(t, gateway, /was damaged.*"anna".*key reopen/)
      const young = await rig.addKey('chloe', '--credits', '10/total')
      await askUntil(gateway, young, 200)
      t.equal((await rig.command('key', 'reopen', 'anna', '--used', '8')).code, 0)
      await askUntil(gateway, anna, 200)
      await until(async () => (await readyOf(gateway)).codes.length === 0)
      t.ok((await burst(gateway, anna, 10)) <= 1, 'eight are used, and one')
    }
  )
}

function scribble(path: string): void {
  const bytes = Buffer.alloc(statSync(path).size, 'scribble')
  writeFileSync(path, bytes.subarray(0, bytes.length))
}

/**
 * Returns the longest time between two pieces of an answer, in milliseconds, less what this process itself, which is the
 * upstream, too, was late by.
 */
async function pacedGap({ url }: GatewayProcess, headers: Record<string, string>): Promise<number> {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'claude-sonnet-4.6',
      stream: true,
      messages: [{ role: 'user', content: 'hi' }]
    })
  })
  if (answer.body === null || answer.status !== 200) throw new Error(`status ${answer.status}`)
  const lateness = monitorEventLoopDelay({ resolution: 10 })
  lateness.enable()
  let last = performance.now()
  let longest = 0
  for await (const _ of answer.body) {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  return longest - lateness.max / 1e6
}

/** Compares what the upstream has metered with what is told of it, for a key and in all. */
async function checkSums(t: Test, rig: Rig, gateway: GatewayProcess, key: Record<string, string>) {
  const told = async () => {
    const answer = await fetch(`${gateway.url}/v1/usage`, { headers: key })
    const { used } = (await answer.json()) as { used: number }
    const { stdout } = await rig.command('usage', '--json')
    const rows: readonly { key: string; credits: number }[] = JSON.parse(stdout).rows
    const all = rows.reduce((sum, { credits }) => sum + credits, 0)
    return { used, recorded: rows.find(({ key: name }) => name === 'anna')?.credits, all }
  }
  let last = await told()
  for (let n = 0; n < 50 && (last.used !== last.recorded || last.all < rig.upstream.metered); n++) {
    await delay(200)
    last = await told()
  }
  t.equal(last.used, last.recorded)
  t.equal(last.all, rig.upstream.metered, 'nothing is lost')
}
