import { loadConfig } from '../../src/config/load.ts'
import { Budget } from '../../src/control/budget/budget.ts'
import { FleetControl, type FleetControlOptions } from '../../src/control/fleet/fleet-control.ts'
import { PanelSessions } from '../../src/control/panel-sessions.ts'
import { createCredentialSource } from '../../src/credentials/sources.ts'
import { FleetFolder, type FolderMemory } from '../../src/fleet/fleet-folder.ts'
import type { FleetState } from '../../src/fleet/fleet-state.ts'
import type { Beat, FleetQuestion, Proposal } from '../../src/fleet/fleet-store.ts'
import { ValkeyStore, type ValkeyStoreOptions } from '../../src/fleet/valkey-store.ts'
import type { FleetTold } from '../../src/ipc/life-signs.ts'
import { type LeaseGrant, NO_GRANT, NO_REPORT } from '../../src/ipc/messages.ts'
import type { GatewayError } from '../../src/shared/errors.ts'
import { ModelEngine } from '../fleet/world/model-engine.ts'
import { FakeRecords } from './fake-records.ts'
import { recordedLog } from './recorded-log.ts'
import { stateFolder } from './state-folder.ts'

interface Teardowns {
  teardown(end: () => unknown): void
  intercept(object: object, property: string, description: { readonly value: unknown }): unknown
}

/** The connections of the fleet. */
export const MAX = 10
/** The shortest that has beats as frequent as any has. */
const LEASE_S = 90
/** So long after its last contact a gateway begins nothing any more. */
export const CLOSING_MS = 80_000
/** And by then all its connections are cut. */
export const CUT_MS = 89_500

/** Gateways of a fleet without processes: control and core are the real ones, Valkey and folders are made up. */
export class FleetRig {
  readonly valkey = new MadeUpValkey()
  /** All processes that there were. */
  readonly #gateways: RigGateway[] = []
  readonly #folders = new Map<string, RigFolder>()
  readonly #t: Teardowns
  #aheadMs = 0

  constructor(t: Teardowns) {
    this.#t = t
    const clock = Date.now.bind(Date)
    t.intercept(Date, 'now', { value: () => clock() + this.#aheadMs })
    t.intercept(FleetFolder, 'take', { value: async (path: string) => this.#folderAt(path).take() })
    t.intercept(ValkeyStore, 'open', {
      value: async ({ url }: ValkeyStoreOptions) => {
        const by = this.#gateways.findLast((one) => one.url === url)
        if (by === undefined) throw new Error(`no gateway connects to ${url}`)
        return this.valkey.connect(by)
      }
    })
    t.teardown(() => Promise.all(this.#gateways.map((one) => one.drain())))
  }

  /** A process of this name, in the folder that the ones before it had. */
  add(name: string, { replicas = 1 } = {}): RigGateway {
    let folder = this.#folders.get(name)
    if (folder === undefined) {
      folder = new RigFolder(stateFolder(this.#t))
      this.#folders.set(name, folder)
    }
    const gateway = new RigGateway(name, { folder, replicas })
    this.#gateways.push(gateway)
    return gateway
  }

  /** The clock on the wall is set forward, which counts as time without contact. */
  pass(ms: number): void {
    this.#aheadMs += ms
    for (const { budget } of this.#gateways) budget.adapt() // so that they look
  }

  #folderAt(path: string): RigFolder {
    const found = this.#folders.values().find((one) => one.path === path)
    if (found === undefined) throw new Error(`no gateway has the folder ${path}`)
    return found
  }
}

/** What outlives the processes of a gateway, on a disk that may be slow, silent or full. */
class RigFolder {
  readonly path: string
  /** What the next process will find. */
  memory: FolderMemory = { incs: [], known: {} }
  /** What was to be written, the newest last. */
  readonly told: FolderMemory[] = []
  /** Called for each write: nothing is written before it resolves, and nothing if it rejects. */
  disk = (): Promise<void> => Promise.resolve()
  isInUse = false

  constructor(path: string) {
    this.path = path
  }

  take(): FleetFolder | null {
    const remember = async (memory: FolderMemory): Promise<void> => {
      this.told.push(memory)
      await this.disk()
      this.memory = memory
    }
    const taken = { memory: this.memory, remember, close: () => {} }
    return this.isInUse ? null : (taken as unknown as FleetFolder)
  }
}

/** The register of `ModelEngine` behind a connection for each gateway. */
class MadeUpValkey {
  readonly engine: ModelEngine
  readonly #records = new FakeRecords()
  /** Bounded by the gateways of a test. */
  readonly #listeners = new Set<(rev: number | null) => void>()
  #now = 0

  constructor() {
    this.engine = new ModelEngine({
      now: () => (this.#now += 1),
      random: () => 0.5,
      fault: undefined,
      tell: undefined,
      isResized: false,
      onWritten: (rev) => {
        for (const listener of this.#listeners) setImmediate(() => listener(rev))
      }
    })
  }

  get state(): FleetState | null {
    return this.engine.state
  }

  /** Gateways that have one. */
  get connections(): number {
    return this.#listeners.size
  }

  /** Incarnations of a name that are in the register. */
  incsOf(name: string): readonly string[] {
    const members = Object.entries(this.state?.members ?? {})
    return members.filter(([, one]) => one.name === name).map(([inc]) => inc)
  }

  /** What the register says that a gateway has. */
  leaseOf(name: string): number {
    const members = Object.values(this.state?.members ?? {}).filter((one) => one.name === name)
    return members.reduce((sum, { granted, returned }) => sum + granted - returned, 0)
  }

  connect(by: RigGateway): ValkeyStore {
    const ask = async (question: FleetQuestion) => {
      by.asked.push(question)
      await new Promise(setImmediate)
      if (by.isCutOff) throw new Error('Valkey does not answer')
      const answer = this.engine.execute(question)
      if (answer.type !== 'read') return answer.answer
      return { ...answer.reading, ...(by.isOutdated && { reading: { type: 'newer' } }) }
    }
    const onRev = (rev: number | null): void => {
      if (!by.isCutOff) by.onRev(rev)
    }
    this.#listeners.add(onRev)
    const store = {
      counts: { commands: 0, failures: 0 },
      records: this.#records,
      isUp: true,
      read: () => ask({ type: 'read' }),
      beat: (beat: Beat) => ask({ type: 'beat', beat }),
      cas: (proposal: Proposal) => ask({ type: 'cas', proposal }),
      onNews: (listener: (rev: number | null) => void) => {
        by.onRev = listener
      },
      close: async () => {
        this.#listeners.delete(onRev)
      }
    }
    by.onCutOff = () => (store.isUp = !by.isCutOff)
    return store as unknown as ValkeyStore
  }
}

/** A primary as far as its fleet sees it. */
export class RigGateway {
  readonly name: string
  readonly url: string
  readonly folder: RigFolder
  readonly budget: Budget
  readonly worker: RigWorker
  /** Its questions to the register of the fleet. */
  readonly asked: FleetQuestion[] = []
  /** What its workers were told. */
  readonly told: FleetTold[] = []
  /** Why it cannot be a member. */
  readonly refusals: GatewayError[] = []
  /** Sign-ins that the fleet shares. */
  signIns = 0
  /** Valkey has a register that only a newer version reads. */
  isOutdated = false
  onRev: (rev: number | null) => void = () => {}
  onCutOff: () => void = () => {}
  readonly text: () => string
  readonly #fleet: FleetControl
  #isCutOff = false
  #drained: Promise<void> | null = null

  constructor(
    name: string,
    { folder, replicas }: { readonly folder: RigFolder; readonly replicas: number }
  ) {
    this.name = name
    this.url = `redis://${name}.test`
    this.folder = folder
    const { log, text } = recordedLog()
    this.text = text
    const upstream = 'http://127.0.0.1:9'
    const loaded = loadConfig(
      {
        PROXY_API_KEY: 'client-key',
        KIRO_API_KEY: 'ksk_secret',
        KIRO_API_URL: upstream,
        KIRO_AUTH_URL: upstream,
        KIRO_OIDC_URL: upstream,
        STATE_DIR: folder.path,
        HTTP_MAX_CONNECTIONS: String(MAX),
        FLEET_URL: this.url,
        FLEET_MEMBER: name,
        FLEET_REPLICAS: String(replicas),
        FLEET_LEASE: String(LEASE_S),
        FLEET_SECRET: 's'.repeat(32)
      },
      []
    )
    if (loaded.name !== 'config') throw new Error('there is no config')
    const { config } = loaded
    const size = { ...config.pool, workers: 1 }
    this.budget = new Budget({ size, send: (_, grant) => this.worker.onGrant(grant) })
    this.#fleet = new FleetControl({
      config,
      budget: this.budget,
      ...KNOWLEDGE,
      sessions: new PanelSessions(() => {}),
      tell: (message) => {
        if (message.type === 'fleet.told') this.told.push(message)
      },
      log,
      source: createCredentialSource(config.credentials, log),
      shareSignIn: () => {
        this.signIns += 1
      },
      onRefused: (cause) => this.refusals.push(cause)
    })
    this.worker = new RigWorker(this.budget)
  }

  get isCutOff(): boolean {
    return this.#isCutOff
  }

  /** Valkey does not answer this process, nor does it hear the process. */
  set isCutOff(isCutOff: boolean) {
    this.#isCutOff = isCutOff
    this.onCutOff()
  }

  /** Why it does not serve, as its workers know; `undefined` before they know anything. */
  get problem(): string | null | undefined {
    return this.told.at(-1)?.problem
  }

  start(): Promise<void> {
    return this.#fleet.start()
  }

  async serve(): Promise<void> {
    await this.start()
    await until(() => this.problem === null)
  }

  /** What else is under way has its turn; returns whether the register was asked anything. */
  async isAsking(): Promise<boolean> {
    const before = this.asked.length
    this.budget.adapt() // as a reload does, so that it looks
    for (let turn = 0; turn < 40; turn += 1) await new Promise(setImmediate)
    return this.asked.length > before
  }

  /** Once. By default its worker ends at once. */
  drain(end: () => Promise<void> = async () => this.worker.end()): Promise<void> {
    this.#drained ??= this.#fleet.drain(end)
    return this.#drained
  }
}

/** The only worker of a gateway: has the permits that it is granted until it returns them. */
class RigWorker {
  readonly #budget: Budget
  #grant: LeaseGrant = NO_GRANT
  #report = NO_REPORT

  constructor(budget: Budget) {
    this.#budget = budget
  }

  get lease(): number {
    return this.#grant.granted - this.#report.returned
  }

  /** Permits that others need. */
  get asked(): number {
    return this.#grant.owed + this.#grant.wanted
  }

  onGrant(grant: LeaseGrant): void {
    this.#grant = grant
  }

  join(): void {
    this.#budget.record({ type: 'join', member: 'worker', slot: 0 })
  }

  /** Returns so many permits, and wants so many. */
  report({ returned = 0, waiting = 0 }): void {
    const { seq, granted } = this.#grant
    this.#report = {
      ...this.#report,
      seq: this.#report.seq + 1,
      seen: seq,
      granted,
      returned: this.#report.returned + returned,
      waiting
    }
    this.#budget.record({ type: 'report', member: 'worker', report: this.#report })
  }

  /** Its process is gone, and all that it had open. */
  end(): void {
    this.#budget.record({ type: 'left', member: 'worker' })
  }
}

/** What a gateway would share with the others, were there anything. */
const KNOWLEDGE = {
  keys: { look: async () => true, applyEnds: () => {}, allowances: { governor: null } },
  devices: { share: async () => {} },
  knows: {
    shareItems: () => {},
    account: { share: () => {}, forWorker: () => ({ accountStatus: {} }) },
    plan: { share: () => {}, setOthers: () => {}, recorded: 0 },
    tokens: { all: () => ({ gauges: [] }), adopt: () => {}, onChange: () => {} }
  }
} as unknown as Pick<FleetControlOptions, 'keys' | 'devices' | 'knows'>

/** Waits for a condition; the test's time ends it otherwise. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2))
}
