import { loadConfig } from '../../src/config/load.ts'
import { DeviceControl } from '../../src/control/device-control.ts'
import { FleetDevices } from '../../src/control/fleet/fleet-devices.ts'
import { AccessCheck } from '../../src/devices/access-check.ts'
import { FleetSeal } from '../../src/fleet/fleet-seal.ts'
import type { DeviceUser } from '../../src/ipc/devices.ts'
import type { NamedKey } from '../../src/keys/key.ts'
import type { FakeRecords } from './fake-records.ts'
import { namedKey } from './named-key.ts'
import { recordedLog } from './recorded-log.ts'

interface Teardown {
  teardown(close: () => unknown): void
}

export interface DeviceDeskOptions {
  readonly stateDir: string
  readonly records?: FakeRecords
  readonly env?: Readonly<Record<string, string>>
  readonly keys?: readonly NamedKey[]
  readonly now?: () => number
}

export const OPERATOR_USER: DeviceUser = {
  role: 'operator',
  name: 'operator',
  key: null,
  via: 'key',
  address: '127.0.0.1'
}

/** The primary's part of the sign-in of devices, and a worker that knows what it is told. */
export class DeviceDesk {
  readonly control: DeviceControl
  readonly worker: AccessCheck
  readonly audit: string[] = []
  /** How often it was waited for all workers. */
  settled = 0
  readonly log = recordedLog()
  keys: readonly NamedKey[]

  constructor(t: Teardown, options: DeviceDeskOptions) {
    const { stateDir, records, env = {}, keys = [namedKey()], now = Date.now } = options
    const fleet =
      records === undefined
        ? {}
        : { FLEET_URL: 'redis://127.0.0.1:1', FLEET_REPLICAS: '2', FLEET_SECRET: 's'.repeat(32) }
    const settings = { PROXY_API_KEY: 'key-of-the-operator', STATE_DIR: stateDir, ...fleet, ...env }
    const loaded = loadConfig(settings, [])
    if (loaded.name !== 'config') throw new Error('no config')
    this.keys = keys
    this.worker = new AccessCheck(undefined, now)
    this.control = new DeviceControl({
      config: () => loaded.config,
      knownKeys: () => ({ isKeyRequired: this.keys.length > 0, keys: this.keys }),
      tell: (news) => this.worker.onNews(news),
      settled: async () => void (this.settled += 1),
      keepAudit: async ({ action }) => void this.audit.push(action),
      log: this.log.log,
      now
    })
    t.teardown(() => this.control.close())
  }

  static async open(t: Teardown, options: DeviceDeskOptions): Promise<DeviceDesk> {
    const desk = new DeviceDesk(t, options)
    const { records } = options
    await desk.control.start()
    if (records === undefined) return desk
    const seal = new FleetSeal(['s'.repeat(32)], 'fleet')
    await desk.control.share(new FleetDevices({ records, seal, log: desk.log.log }))
    return desk
  }

  /** Resolves with the codes. */
  async ask(address = '192.0.2.1') {
    const facts = { clientId: null, client: 'claude_code', host: 'lab-7', address }
    const asked = await this.control.ask(facts)
    if (asked.name !== 'asked') throw new Error(asked.name)
    return asked
  }

  async approve(code: string, by: DeviceUser = OPERATOR_USER): Promise<string> {
    const approved = await this.control.approve(code, { key: 'k_1' }, by)
    return approved.name === 'refused' ? approved.why : approved.name
  }

  async poll(deviceCode: string) {
    const got = await this.control.poll(deviceCode, null)
    if (got.name !== 'tokens') throw new Error(got.name)
    return got
  }

  async signIn(by?: DeviceUser) {
    const { deviceCode, userCode } = await this.ask()
    const approved = await this.approve(userCode, by)
    if (approved !== 'decided') throw new Error(approved)
    return this.poll(deviceCode)
  }

  /** Verdict of the worker. */
  verdict({ accessToken }: { readonly accessToken: string }): string {
    return this.worker.check(accessToken).name
  }
}
