import { setTimeout as delay } from 'node:timers/promises'
import { runCommandHere } from '../../helper/command-here.ts'
import { type GatewayProcess, startGateway } from '../../helper/gateway-process.ts'
import { OwnDisk } from '../../helper/own-disk.ts'
import { stateFolder } from '../../helper/state-folder.ts'
import { Random } from '../random.ts'
import { CreditClients, type Person } from './credit-clients.ts'
import { judgeSums, type Verdict } from './judge-sums.ts'
import { DEAREST, MeteringUpstream } from './metering-upstream.ts'
import { readLeft, readTold, type TellingGateway } from './told-sums.ts'

export interface CreditsOptions {
  readonly seconds: number
  readonly seed: number
  /** Clients of each of three keys. */
  readonly clients: number
  /** Longest time between two things that are done to the gateway. */
  readonly pauseMs: number
  /** Hears a line with each comparison. */
  readonly onProgress: (line: string) => void
  readonly signal: AbortSignal
}

export interface CreditsFindings extends Verdict {
  readonly seconds: number
  readonly seed: number
  readonly requests: number
  readonly metered: number
  readonly comparisons: number
  /** How often each thing was done to the gateway. */
  readonly done: Readonly<Record<Deed, number>>
  /** By status; 0 of those that were not answered. */
  readonly answers: Readonly<Record<number, number>>
  /** Whether this process may mount a disk, which is filled now and then. */
  readonly hasDisk: boolean
}

/** How often each thing is done in a round. */
const ROUND = {
  'kill-worker': 4,
  'kill-gateway': 2,
  restart: 2,
  reload: 2,
  'replace-workers': 1,
  'fill-disk': 1
} as const
type Deed = keyof typeof ROUND

const OPERATOR = 'operators-own-key'
const DISK_MB = 32
/** Within so long after an answer processes are killed: its row is on its way to the account book. */
const KILLED_WITHIN_MS = 400
/** An answer comes within this time, unless all clients wait or are refused. */
const ANSWER_MS = 8_000
const FULL_MS = 5_000
/** Credits that Ci may use until the next comparison: a few dozen answers. */
const CREDITS_OF_A_ROUND = 2
/** Until all that was used is told everywhere, on a machine that may be busy. */
const PATIENCE_MS = 60_000

/** Runs three keys through an upstream that meters, while everything is done to the gateway that may cost it a credit. */
export async function runCredits(options: CreditsOptions): Promise<CreditsFindings> {
  const closers: (() => unknown)[] = []
  const owner = { teardown: (close: () => unknown) => void closers.unshift(close) }
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  options.signal.addEventListener('abort', () => reject(options.signal.reason), { once: true })
  try {
    const run = await CreditsRun.create(owner, options)
    return await Promise.race([run.run(), aborted])
  } finally {
    for (const close of closers) await close()
  }
}

interface Owner {
  teardown(close: () => unknown): void
}

interface Stand {
  readonly upstream: MeteringUpstream
  readonly clients: CreditClients
  readonly stateDir: string
  readonly keys: Readonly<Record<Person, string>>
  readonly disk: OwnDisk | null
  readonly random: Random
}

class CreditsRun {
  readonly #options: CreditsOptions
  readonly #stand: Stand
  readonly #kills: number[] = []
  /** What was found wrong between two comparisons. */
  readonly #faults: string[] = []
  readonly #done: Record<Deed, number> = {
    'kill-worker': 0,
    'kill-gateway': 0,
    restart: 0,
    reload: 0,
    'replace-workers': 0,
    'fill-disk': 0
  }
  readonly #startedAt = performance.now()
  #gateway: GatewayProcess | null = null
  #limitOfCi = CREDITS_OF_A_ROUND
  #comparisons = 0

  private constructor(options: CreditsOptions, stand: Stand) {
    this.#options = options
    this.#stand = stand
  }

  static async create(owner: Owner, options: CreditsOptions): Promise<CreditsRun> {
    const random = new Random(options.seed)
    const isRoot = OwnDisk.whyNot('tmpfs') === false
    const disk = isRoot ? OwnDisk.mount(owner, 'tmpfs', DISK_MB) : null
    const stateDir = disk?.folder ?? stateFolder(owner)
    const add = async (name: string, ...more: readonly string[]): Promise<string> => {
      const { stdout } = await command(stateDir, 'key', 'add', name, ...more, '--json')
      return String(JSON.parse(stdout).key)
    }
    const keys = {
      anna: await add('anna', '--credits', '100000/total'),
      ben: await add('ben'),
      ci: await add('ci', '--credits', `${CREDITS_OF_A_ROUND}/total`)
    }
    const upstream = await MeteringUpstream.start(owner, random)
    const clients = new CreditClients(keys, random)
    const run = new CreditsRun(options, { upstream, clients, stateDir, keys, disk, random })
    owner.teardown(() => run.#gateway?.destroy())
    owner.teardown(() => void clients.end())
    return run
  }

  async run(): Promise<CreditsFindings> {
    const { seconds, clients: ofEach, seed } = this.#options
    const { clients, upstream, disk, random } = this.#stand
    await this.#start()
    clients.start(ofEach)
    let verdict: Verdict
    do verdict = await this.#round(shuffledRound(random))
    while (this.#elapsedS < seconds && verdict.violations.length === 0)
    await clients.end()
    const answers: Record<number, number> = {}
    for (const { status } of clients.asked) answers[status] = (answers[status] ?? 0) + 1
    return {
      ...verdict,
      seconds: Math.round(this.#elapsedS),
      seed,
      requests: clients.asked.length,
      metered: upstream.metered.length,
      comparisons: this.#comparisons,
      done: this.#done,
      answers,
      hasDisk: disk !== null
    }
  }

  get #elapsedS(): number {
    return (performance.now() - this.#startedAt) / 1000
  }

  async #start(): Promise<GatewayProcess> {
    const gateway = await startGateway({
      upstreamUrl: this.#stand.upstream.origin,
      env: {
        STATE_DIR: this.#stand.stateDir,
        PROXY_API_KEY: OPERATOR,
        WORKERS: '2',
        FIRST_TOKEN_TIMEOUT: '5',
        STREAMING_READ_TIMEOUT: '3'
      },
      envFile: { HTTP_MAX_CONNECTIONS: '40' },
      keeps: ({ event }) => event !== 'request.completed'
    })
    this.#gateway = gateway
    this.#stand.clients.url = gateway.url
    return gateway
  }

  async #round(deeds: readonly Deed[]): Promise<Verdict> {
    for (const deed of deeds) {
      await this.#act(deed)
      // The gateway remembers what it has lost with a worker, until it ends.
      if (deed !== 'kill-worker') continue
      const verdict = await this.#compare()
      if (verdict.violations.length > 0) return verdict
    }
    return this.#compare()
  }

  async #act(deed: Deed): Promise<void> {
    const { random, disk } = this.#stand
    await delay(random.between(500, this.#options.pauseMs))
    const gateway = this.#gateway
    if (gateway === null) throw new Error('there is no gateway')
    if (deed === 'fill-disk' && disk === null) return
    this.#done[deed] += 1
    await this.#deeds[deed](gateway)
  }

  readonly #deeds: Readonly<Record<Deed, (gateway: GatewayProcess) => Promise<unknown>>> = {
    'kill-worker': async (gateway) => {
      const pids = gateway.workerPids()
      const pid = this.#stand.random.pick(pids)
      if (pid === undefined) return
      const from = gateway.lines.length
      await this.#untilAnswered()
      this.#kills.push(performance.now())
      process.kill(pid, 'SIGKILL')
      await gateway.logged(isReady, from)
    },
    'kill-gateway': async (gateway) => {
      await this.#untilAnswered()
      this.#kills.push(performance.now())
      const pids = gateway.workerPids()
      gateway.child.kill('SIGKILL')
      for (const pid of pids) killIfThere(pid)
      await gateway.exited
      this.#kills.push(performance.now())
      const { lost, held } = readLeft(this.#stand.stateDir)
      await gateway.destroy()
      await this.#start()
      const now = readLeft(this.#stand.stateDir).lost
      if (now !== lost + held)
        this.#faults.push(`${now - lost} lost with a gateway that held ${held} micro-credits`)
    },
    restart: async (gateway) => {
      const code = await gateway.stop()
      if (code !== 0) throw new Error(`the gateway ended with ${code}: ${gateway.stderr}`)
      await this.#start()
    },
    reload: (gateway) =>
      gateway.reload({ HTTP_MAX_CONNECTIONS: String(this.#stand.random.between(20, 60)) }),
    'replace-workers': async (gateway) => {
      const from = gateway.lines.length
      gateway.child.kill('SIGUSR2')
      await gateway.logged(isReady, from)
      await gateway.logged(isReady, gateway.lines.findIndex(isReady, from) + 1)
    },
    'fill-disk': async (gateway) => {
      this.#stand.disk?.fill()
      await delay(FULL_MS)
      this.#stand.disk?.makeRoom()
      while (await hasProblem(gateway)) await delay(100) // what nobody could write is in the gateway alone
    }
  }

  /** Resolves soon after the next answer was metered. */
  async #untilAnswered(): Promise<void> {
    const { upstream, random } = this.#stand
    await Promise.race([upstream.next, delay(ANSWER_MS)])
    await delay(random.between(0, KILLED_WITHIN_MS))
  }

  /** Waits until nobody asks and all is told everywhere, compares it, and lets Ci go on. */
  async #compare(): Promise<Verdict> {
    const { clients, upstream, stateDir, keys } = this.#stand
    await clients.pause()
    const gateway = this.#gateway
    if (gateway === null) throw new Error('there is no gateway')
    const telling: TellingGateway = { url: gateway.url, stateDir, operatorKey: OPERATOR, keys }
    const seen = { metered: upstream.metered, asked: clients.asked, kills: this.#kills }
    const deadline = performance.now() + PATIENCE_MS
    let verdict = judgeSums(await readTold(telling), seen)
    while (verdict.violations.length > 0 && performance.now() < deadline) {
      await delay(300)
      verdict = judgeSums(await readTold(telling), seen)
    }
    this.#comparisons += 1
    const ci = verdict.sums.find(({ who }) => who === 'ci')?.told ?? 0
    const most = this.#limitOfCi + (this.#options.clients * DEAREST) / 1e6
    const over = ci > most ? [`ci: used ${ci} of ${this.#limitOfCi}`] : []
    this.#limitOfCi = Math.ceil(ci + CREDITS_OF_A_ROUND)
    await command(stateDir, 'key', 'set', 'ci', '--credits', `${this.#limitOfCi}/total`)
    const violations = [...verdict.violations, ...over, ...this.#faults]
    verdict = { ...verdict, violations }
    this.#options.onProgress(
      `${Math.round(this.#elapsedS)} s: ${clients.asked.length} requests, ${upstream.metered.length} metered, ` +
        `${this.#kills.length} kills, ${verdict.violations.length} violations`
    )
    clients.resume()
    return verdict
  }
}

function shuffledRound(random: Random): readonly Deed[] {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same names
  const deeds = Object.entries(ROUND) as [Deed, number][]
  return deeds
    .flatMap(([deed, times]) => Array.from({ length: times }, () => deed))
    .map((deed) => ({ deed, place: random.next() }))
    .toSorted((one, other) => one.place - other.place)
    .map(({ deed }) => deed)
}

function isReady({ msg, state }: Readonly<Record<string, unknown>>): boolean {
  return msg === 'worker changed state' && state === 'ready'
}

async function hasProblem({ url }: GatewayProcess): Promise<boolean> {
  const answer = await fetch(`${url}/readyz`, { headers: { 'x-api-key': OPERATOR } })
  return ((await answer.json()) as { readonly codes: readonly string[] }).codes.includes(
    'usage-book'
  )
}

function command(stateDir: string, ...args: readonly string[]) {
  return runCommandHere(args, { cwd: stateDir, env: { STATE_DIR: stateDir } })
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it has lost its primary, and ended
  }
}
