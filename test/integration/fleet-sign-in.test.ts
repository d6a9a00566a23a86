import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Point, POINTS } from '../fleet/refresh-world.ts'
import { startChat } from '../helper/chat-client.ts'
import { CliProcess } from '../helper/cli-process.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { EngineWire } from '../helper/engine-wire.ts'
import { FamilyTokenServer } from '../helper/family-service.ts'
import { FLEET_TEST_SECRET, FleetTeam, until } from '../helper/fleet-team.ts'
import type { GatewayProcess, LogLine } from '../helper/gateway-process.ts'
import { isNightly } from '../helper/nightly.ts'

t.setTimeout(900_000) // real processes, started again and again, on a machine that may be busy

const skip = whyNoEngine()
const NAMES = ['a', 'b', 'c'] as const
/** By day one in doubt: `test/fleet/one-refresher.test.ts` has a model killed at all of them. */
const KILLED_AT: readonly Point[] = isNightly ? POINTS : ['the token is presented']
/** A machine that takes so long to start a gateway again leaves the others in doubt, whatever the gateway has stored. */
const LATE_MS = 5_000
const isIntent = (said: string): boolean => said.includes('"phase":"presenting"')
const isStore = (said: string): boolean => said.includes('"phase":"idle"')

/** Three gateways with copies of one sign-in, each with a wire to Valkey of its own. */
class SignInTeam {
  readonly team: FleetTeam
  readonly tokens: FamilyTokenServer
  /** Of each: where its files are. */
  readonly folders = new Map<string, string>()
  readonly #wires = new Map<string, EngineWire>()
  #armed: Point | null = null
  #holder = ''
  victim = ''

  private constructor(team: FleetTeam, tokens: FamilyTokenServer) {
    this.team = team
    this.tokens = tokens
  }

  static async start(t: Test): Promise<SignInTeam> {
    const engineConfig = ['appendonly yes', 'appendfsync always', 'save 1 1']
    const team = await FleetTeam.start(t, { names: [], max: 30, engineConfig })
    const tokens = await new FamilyTokenServer('first-refresh-token', team.upstreamUrl).listen()
    t.teardown(() => tokens.close())
    const whole = new SignInTeam(team, tokens)
    tokens.onPresented = () => (whole.#reach('the token is presented') ? 'keep' : 'answer')
    tokens.onAnswered = () => void whole.#reach('the answer is received')
    const folder = t.testdir(Object.fromEntries(NAMES.map((name) => [name, {}])))
    const first = firstSignIn()
    for (const name of NAMES) {
      const wire = await new EngineWire(team.engine.port).listen()
      t.teardown(() => wire.close())
      whole.#wires.set(name, wire)
      wire.onSaid = (said) => whole.#onSaid(name, said)
      wire.onAnswer = () => whole.#onAnswer()
      whole.folders.set(name, join(folder, name))
      writeFileSync(whole.credsOf(name), JSON.stringify(first))
      whole.#add(name)
    }
    await Promise.all([...team.gateways.values()].map((one) => one.ready()))
    await team.allServe()
    return whole
  }

  get gateways(): readonly GatewayProcess[] {
    return NAMES.map((name) => this.team.get(name))
  }

  stateOf(name: string): string {
    return join(this.folders.get(name) ?? '', 'state')
  }

  credsOf(name: string): string {
    return join(this.folders.get(name) ?? '', 'token.json')
  }

  /** What the folder of this gateway has of the fleet's sign-in. */
  keptBy(name: string): string {
    const path = join(this.stateOf(name), 'credentials/fleet.sign-in.files.json')
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }

  /** Whoever renews next is killed there; resolves when that has happened. */
  async kill(point: Point): Promise<void> {
    this.victim = ''
    this.#armed = point
    await until(() => this.victim !== '')
    await this.team.get(this.victim).exited
  }

  async startAgain(name: string): Promise<void> {
    await this.#add(name).ready()
  }

  /** All have the token that is good now, and use it. */
  async allUse(): Promise<boolean> {
    const { valid } = this.tokens
    if (this.tokens.isRevoked || !NAMES.every((name) => this.keptBy(name).includes(valid)))
      return this.tokens.isRevoked
    const good = (JSON.parse(this.keptBy('a')) as { tokens: { accessToken: string } }).tokens
    for (const { url } of this.gateways) {
      const { text } = await startChat(url, 'sim:events=2').answer
      if (!text.endsWith('[DONE]\n\n') || this.tokens.lastUsed !== good.accessToken) return false
    }
    return true
  }

  #add(name: string): GatewayProcess {
    return this.team.add(name, {
      FLEET_REPLICAS: String(NAMES.length),
      FLEET_URL: this.#wires.get(name)?.url ?? '',
      KIRO_API_URL: this.tokens.url,
      KIRO_AUTH_URL: this.tokens.url,
      STATE_DIR: this.stateOf(name),
      KIRO_CREDS_FILE: this.credsOf(name)
    })
  }

  #onSaid(name: string, said: string) {
    if (isIntent(said)) {
      this.#holder = name
      if (this.#reach('before the intent')) return 'drop'
      const isNext =
        this.#armed === 'the intent is sent' || this.#armed === 'the intent is acknowledged'
      return isNext ? 'hush' : 'pass'
    }
    if (!isStore(said) || name !== this.#holder) return 'pass'
    if (this.#reach('the overlay is stored')) return 'drop'
    if (this.#armed === 'it is used') void this.#whenUsed(name)
    return this.#armed === 'Valkey has stored it' ? 'hush' : 'pass'
  }

  #onAnswer(): boolean {
    if (this.#reach('the intent is sent') || this.#reach('Valkey has stored it')) return true
    setImmediate(() => void this.#reach('the intent is acknowledged'))
    return false
  }

  async #whenUsed(name: string): Promise<void> {
    const gateway = this.team.get(name)
    await gateway.logged(({ msg }) => msg === 'credentials ready', gateway.lines.length)
    this.#reach('it is used')
  }

  /** Kills the gateway that renews if that is to happen here. */
  #reach(point: Point): boolean {
    if (this.#armed !== point || this.#holder === '') return false
    this.#armed = null
    this.victim = this.#holder
    const gateway = this.team.get(this.victim)
    for (const pid of [gateway.child.pid ?? 0, ...gateway.workerPids()])
      process.kill(pid, 'SIGKILL')
    return true
  }
}

t.test('one sign-in of three gateways', { skip }, async (t) => {
  const whole = await SignInTeam.start(t)
  const { tokens, team } = whole
  for (const point of KILLED_AT) {
    await t.test(`the gateway that renews is killed: ${point}`, async (t) => {
      const [before, revocations] = [tokens.valid, tokens.revocations]
      await whole.kill(point)
      const { victim } = whole
      const isSpent = tokens.valid !== before
      const isStored = NAMES.some((name) => whole.keptBy(name).includes(tokens.valid))
      const killedAt = performance.now()
      await whole.startAgain(victim)
      const isLate = performance.now() - killedAt > LATE_MS
      const tookMs = await until(() => tokens.valid !== before && whole.allUse())
      const isInDoubt = isSpent && !isStored && point !== 'Valkey has stored it'
      const times = tokens.presented.get(before) ?? 0
      t.comment(
        `${victim}; spent ${isSpent}, stored ${isStored}: presented ${times} times, ${tokens.revocations - revocations} revoked, ${Math.round(tookMs)} ms`
      )
      const isRevoked = tokens.revocations > revocations
      if (!isLate || isInDoubt) t.equal(isRevoked, isInDoubt)
      t.equal(tokens.revocations - revocations, isRevoked ? 1 : 0)
      t.equal(times, isRevoked ? 2 : 1)
      if (!isRevoked) return
      await until(() => whole.gateways.some(({ lines }) => lines.some(asksForSignIn)))
      const [first = 'a'] = NAMES.filter((name) => name !== victim)
      writeFileSync(whole.credsOf(first), JSON.stringify(tokens.signIn()))
      const newMs = await until(() => whole.allUse())
      t.comment(`a new sign-in at ${first} is used by all after ${Math.round(newMs)} ms`)
    })
  }
  await t.test('Valkey forgets everything, and is another process', async (t) => {
    const before = tokens.valid
    await team.engine.stop('SIGKILL')
    const names = readdirSync(team.engine.folder)
    t.ok(names.includes('appendonlydir') && names.includes('dump.rdb'), names.join(' '))
    t.equal(leaked(team.engine.folder, tokens), 0, 'no token in what Valkey has on its disk')
    rmSync(join(team.engine.folder, 'appendonlydir'), { recursive: true })
    rmSync(join(team.engine.folder, 'dump.rdb'))
    await team.engine.start()
    await until(() => tokens.valid !== before && whole.allUse())
    t.equal(tokens.presented.get(before), 1)
    t.notOk(tokens.isRevoked)
  })
  await t.test('says who renews it', async (t) => {
    const env = {
      FLEET_URL: team.engine.url,
      FLEET_REPLICAS: '3',
      FLEET_SECRET: FLEET_TEST_SECRET,
      FLEET_LEASE: '12'
    }
    const cwd = whole.folders.get('a') ?? ''
    const { stdout } = await new CliProcess(['fleet', 'status', '--json'], { cwd, env }).ended
    const { holder } = JSON.parse(stdout) as { readonly holder: string }
    t.ok(
      NAMES.some((name) => name === holder),
      holder
    )
  })
  t.equal(leaked(team.engine.folder, tokens), 0)
  const logs = whole.gateways.map(({ lines, stderr }) => JSON.stringify(lines) + stderr).join('')
  t.notOk(
    tokens.tokens.some((token) => logs.includes(token)),
    'nor in a log'
  )
})

function asksForSignIn({ msg, level }: LogLine): boolean {
  return msg === 'credentials not renewed' && level === 'error'
}

/** Renewed soon, and good for long enough that all gateways are up by then. */
function firstSignIn() {
  const expiresAt = new Date(Date.now() + 60_000).toISOString()
  const refreshToken = 'first-refresh-token'
  return {
    accessToken: 'first-access-token',
    refreshToken,
    expiresAt,
    region: 'us-east-1',
    authMethod: 'social'
  }
}

/** Tokens that are in a file of this folder as they are. */
function leaked(folder: string, { tokens }: FamilyTokenServer): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  const texts = files
    .filter((one) => one.isFile())
    .map((one) => textOf(join(one.parentPath, one.name)))
  return tokens.filter((token) => texts.some((text) => text.includes(token))).length
}

/** Text of a file; none where it has gone meanwhile, as Valkey renames what it has written. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw cause
  }
}
