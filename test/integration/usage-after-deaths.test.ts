import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { changeKeys, keysPath, makeKey, makeKeyId } from '../../src/keys/key-store.ts'
import type { NamedKey } from '../../src/keys/key.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { namedKey } from '../helper/named-key.ts'
import { isNightly } from '../helper/nightly.ts'
import { stateFolder } from '../helper/state-folder.ts'
import { endFrame, eventFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(3_600_000) // real processes, on a machine that may be busy

const OPERATOR = 'operators-own-key'
/** Of workers, and of whole gateways; `npm run chaos:keys` has more of them. */
const KILLS = Number(process.env['KILLS'] ?? (isNightly ? 3 : 2))
/** So much an answer costs: three of them are no round number of anything. */
const COST = 0.123457

/** So long an answer takes, and no client asks again before it has one. */
const ANSWER_MS = 100
/** Of each key. */
const CLIENTS = 4

/*
 * What a worker held when it was killed counts as used: what its requests have reserved, and what it had ahead. Each request
 * reserves what such answers cost. Ahead a worker has no more than what was asked for lately, of which half is forgotten each
 * 50 ms: of a client that asks every ANSWER_MS at most 1 + 1/4 + 1/16 + … = 4/3 of an answer. A gateway's lease has as much ahead
 * once more, beside that of its two workers.
 */
const AHEAD = CLIENTS / (1 - 2 ** (-ANSWER_MS / 50))
/** Most that a kill may count beyond what was used. */
const LOST_AT_MOST = { worker: (CLIENTS + AHEAD) * COST, gateway: (CLIENTS + 3 * AHEAD) * COST }

/** Rows are written after so long: 150 ms in the worker and 200 in the primary, on a machine that may be busy. */
const UNWRITTEN_MS = 700

/** Two keys, one with a limit; clients that ask all the time; and what upstream and clients have seen. */
class Team {
  /** By key: answers that the upstream has metered. */
  readonly metered = { anna: 0, ben: 0 }
  /** By key: answers that clients have got whole. */
  readonly got = { anna: 0, ben: 0 }
  /** By key: requests that are under way. */
  readonly inFlight = { anna: 0, ben: 0 }
  /** By key: those that were under way when a process was killed. */
  readonly doomed = { anna: 0, ben: 0 }
  /** Answers that ben had got when a process was killed, too late for their rows to be written. */
  unwritten = 0
  /** By the time of `performance.now()`: when ben has got his answers. */
  readonly #gotAt: number[] = []
  readonly stateDir: string
  readonly #upstream: CountingUpstream
  readonly #keys: Readonly<Record<'anna' | 'ben', string>>
  #url = ''
  #isOver = false

  private constructor(
    stateDir: string,
    upstream: CountingUpstream,
    keys: Readonly<Record<'anna' | 'ben', string>>
  ) {
    this.stateDir = stateDir
    this.#upstream = upstream
    this.#keys = keys
    upstream.onRequest = (request, response) => {
      if (request.url?.includes('generateAssistantResponse') !== true) {
        response.writeHead(404).end()
        return
      }
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.write(textFrame('x'))
      setTimeout(() => {
        if (response.destroyed) return
        for (const name of ['anna', 'ben'] as const)
          if (body.includes(`of ${name}`)) this.metered[name]++
        const cost = eventFrame('meteringEvent', { unit: 'credit', usage: COST })
        response.end(Buffer.concat([endFrame, cost]))
      }, ANSWER_MS)
    }
  }

  static async create(t: Test): Promise<Team> {
    const upstream = await CountingUpstream.start(t)
    const stateDir = stateFolder(t)
    const made = { anna: makeKey(), ben: makeKey() }
    const keyOf = (name: 'anna' | 'ben', limits: Partial<NamedKey>) =>
      namedKey({
        id: makeKeyId(),
        name,
        hashes: [{ sha256: made[name].sha256, until: null }],
        credits: null,
        ...limits
      })
    const anna = keyOf('anna', { credits: { limit: 100_000, period: 'total' } })
    const keys = [anna, keyOf('ben', {})]
    await changeKeys(keysPath(stateDir), () => keys, new AbortController().signal)
    return new Team(stateDir, upstream, { anna: made.anna.text, ben: made.ben.text })
  }

  async start(t: Test): Promise<GatewayProcess> {
    const gateway = await startGateway({
      upstreamUrl: this.#upstream.url.origin,
      env: { STATE_DIR: this.stateDir, PROXY_API_KEY: OPERATOR, WORKERS: '2' }
    })
    t.teardown(() => gateway.destroy())
    this.#url = gateway.url
    return gateway
  }

  /** Has the price be known, in both workers. */
  async teach(): Promise<void> {
    for (let n = 0; n < 10; n++) {
      const headers = { 'x-api-key': OPERATOR }
      await startChat(this.#url, 'of the operator', { headers }).answer
    }
  }

  /** Clients that ask until `end()`. */
  run(): { readonly end: () => Promise<void> } {
    const client = async (name: 'anna' | 'ben'): Promise<void> => {
      const headers = { 'x-api-key': this.#keys[name] }
      while (!this.#isOver) {
        this.inFlight[name]++
        const answer = await startChat(this.#url, `of ${name}`, { headers }).answer.catch(
          () => null
        )
        this.inFlight[name]--
        if (answer === null || !isComplete(answer)) {
          await delay(20)
          continue
        }
        this.got[name]++
        if (name === 'ben') this.#gotAt.push(performance.now())
      }
    }
    const clients = Array.from({ length: 2 * CLIENTS }, (_, n) =>
      client(n % 2 === 0 ? 'anna' : 'ben')
    )
    return {
      end: async () => {
        this.#isOver = true
        await Promise.all(clients)
      }
    }
  }

  async #get(path: string, key: string): Promise<string> {
    return (await fetch(this.#url + path, { headers: { 'x-api-key': key } })).text()
  }

  /** Of anna everywhere, and of ben in the record. */
  async told() {
    const lines = (await this.#get('/metrics', OPERATOR)).split('\n')
    const line = lines.find((one) => one.startsWith('kiro_gateway_key_credits_total{key="anna"}'))
    const own = JSON.parse(await this.#get('/v1/usage', this.#keys.anna))
    const { code, stdout } = await runCommandHere(['usage', '--json'], {
      cwd: this.stateDir,
      env: { STATE_DIR: this.stateDir }
    })
    const rows: readonly { key: string; credits: number; requests: number }[] =
      code === 0 ? JSON.parse(stdout).rows : []
    return {
      metrics: Number(line?.split(' ').at(-1)),
      limit: Number(own.used),
      reserved: Number(own.reserved),
      recorded: Number(own.today?.credits),
      command: rows.find(({ key }) => key === 'anna')?.credits,
      ben: rows.find(({ key }) => key === 'ben')
    }
  }

  /** As soon as all that is written, or when that takes too long. */
  async toldAtLast() {
    let last = await this.told()
    for (let n = 0; n < 30; n++) {
      const isAnna = last.command === last.limit && last.recorded === last.limit
      if (isAnna && Number(last.ben?.requests) >= this.got.ben) break
      await delay(200)
      last = await this.told()
    }
    return last
  }

  noteKill(): void {
    for (const name of ['anna', 'ben'] as const) this.doomed[name] += this.inFlight[name]
    const late = performance.now() - UNWRITTEN_MS
    this.unwritten += this.#gotAt.filter((at) => at > late).length
  }

  /** Nothing is leased for ben, who has no limit: rows of his last answers die with their process. */
  checkRecorded(t: Test, requests: number): void {
    const least = this.got.ben - this.doomed.ben - this.unwritten
    t.ok(requests >= least, `${requests} of ${this.got.ben} that were answered`)
  }

  /** What was under way at a death may count as more than it cost, by so much at most, but never as less. */
  checkMetered(t: Test, limit: number, lostAtMost: number): void {
    const metered = inCredits(this.metered.anna * COST * 1e6)
    const { told, lost } = rowsIn(join(this.stateDir, 'usage.db'))
    t.comment('metered, got and doomed', this.metered, this.got, this.doomed)
    t.comment(`${limit} used: ${told} in rows and ${lost} lost, of ${metered} that were metered`)
    t.ok(this.metered.anna > 10)
    t.equal(inCredits((told + lost) * 1e6), limit)
    t.ok(told <= metered, 'no answer has two rows')
    t.ok(limit >= metered, `${limit} of ${metered}`)
    t.ok(limit <= metered + lostAtMost, `${limit} of ${metered} and ${lostAtMost}`)
  }
}

function inCredits(micros: number): number {
  return Math.round(micros) / 1e6
}

/** Credits of anna's requests that have rows, and of rows of what was lost. */
function rowsIn(path: string): { readonly told: number; readonly lost: number } {
  const db = new DatabaseSync(path, { readOnly: true, timeout: 5_000 })
  const [row] = db
    .prepare(
      `SELECT sum(iif(dialect <> '', credits, 0)) AS told, sum(iif(dialect = '', credits, 0)) AS lost
       FROM requests JOIN keys ON keys.id = requests.key WHERE name = 'anna'`
    )
    .all()
  db.close()
  return { told: Number(row?.['told']) / 1e6, lost: Number(row?.['lost']) / 1e6 }
}

/** What a gateway that was killed holds of anna's limit, and what is lost by then. The account book is left as it is. */
function leftBy(stateDir: string): { readonly held: number; readonly lost: number } {
  const folder = mkdtempSync(join(tmpdir(), 'kiro-gateway-book-'))
  for (const name of ['usage.db', 'usage.db-wal'])
    if (existsSync(join(stateDir, name))) cpSync(join(stateDir, name), join(folder, name))
  const path = join(folder, 'usage.db')
  const db = new DatabaseSync(path, { timeout: 20_000 })
  const [row] = db.prepare('SELECT page FROM pages').all()
  db.close()
  const { leases }: { leases: Readonly<Record<string, { readonly held: number }>> } = JSON.parse(
    String(row?.['page'])
  )
  const held = Object.values(leases).reduce((sum, lease) => sum + lease.held, 0) / 1e6
  const { lost } = rowsIn(path)
  rmSync(folder, { recursive: true })
  return { held, lost }
}

t.test(
  'usage, metrics, /v1/usage and the limit tell the same to the last digit, after workers were killed',
  async (t) => {
    const team = await Team.create(t)
    const gateway = await team.start(t)
    await team.teach()
    const clients = team.run()
    for (let round = 0; round < KILLS; round++) {
      await delay(300)
      const [pid] = gateway.workerPids()
      if (pid === undefined) throw new Error('there is no worker')
      const from = gateway.lines.length
      team.noteKill()
      process.kill(pid, 'SIGKILL')
      await gateway.logged(
        (line) => line['msg'] === 'worker changed state' && line['state'] === 'ready',
        from
      )
    }
    await delay(300)
    await clients.end()
    const { ben, ...last } = await team.toldAtLast()
    t.same(last, {
      metrics: last.limit,
      limit: last.limit,
      reserved: 0,
      recorded: last.limit,
      command: last.limit
    })
    team.checkMetered(t, last.limit, KILLS * LOST_AT_MOST.worker)
    team.checkRecorded(t, Number(ben?.requests))
  }
)

t.test(
  'usage, /v1/usage and the limit tell the same after the whole gateway was killed',
  async (t) => {
    const team = await Team.create(t)
    let gateway = await team.start(t)
    await team.teach()
    const clients = team.run()
    for (let round = 0; round < KILLS; round++) {
      const { anna } = team.metered
      while (team.metered.anna < anna + 4) await delay(20)
      await delay(170 * (round % 8))
      team.noteKill()
      const pids = gateway.workerPids()
      gateway.child.kill('SIGKILL')
      for (const pid of pids) process.kill(pid, 'SIGKILL')
      await gateway.exited
      const left = leftBy(team.stateDir)
      gateway = await team.start(t)
      const { lost } = rowsIn(join(team.stateDir, 'usage.db'))
      t.equal(lost, inCredits((left.held + left.lost) * 1e6), 'all that it held')
    }
    await delay(300)
    await clients.end()
    const { metrics: _, ben, ...last } = await team.toldAtLast()
    t.same(last, { limit: last.limit, reserved: 0, recorded: last.limit, command: last.limit })
    team.checkMetered(t, last.limit, KILLS * LOST_AT_MOST.gateway)
    team.checkRecorded(t, Number(ben?.requests))
    t.ok(Number(ben?.credits) <= Math.round(team.metered.ben * COST * 1e6) / 1e6, 'and none twice')
    t.equal(await gateway.stop(), 0)
    const command = await runCommandHere(['usage', '--json'], {
      cwd: team.stateDir,
      env: { STATE_DIR: team.stateDir }
    })
    const rows: readonly { key: string; credits: number }[] = JSON.parse(command.stdout).rows
    t.equal(rows.find(({ key }) => key === 'anna')?.credits, last.limit, 'and after the end')
  }
)
