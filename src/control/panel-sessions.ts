import { hkdfSync } from 'node:crypto'
import type { Config } from '../config/settings.ts'
import { EndedSessions } from '../dashboard/ended-sessions.ts'
import { newSessionSecret } from '../dashboard/session.ts'
import type { EndedSession } from '../ipc/dashboard.ts'
import type { ToWorker } from '../ipc/messages.ts'

const SECRET_BYTES = 32

/** Sessions of the panel and of `/device`, as the workers check them: the secret that signs them, and which have ended. */
export class PanelSessions {
  readonly #tell: (message: ToWorker) => void
  readonly #ended = new EndedSessions()
  #secret = ''
  #onEnded: () => void = () => {}

  constructor(tell: (message: ToWorker) => void) {
    this.#tell = tell
  }

  /** All gateways of a fleet have one secret; another gateway has a new one after each start. Rejects as reading FLEET_SECRET_FILE. */
  async start({ fleet }: Pick<Config, 'fleet'>): Promise<void> {
    this.#secret = fleet.url === null ? newSessionSecret() : await secretOf(fleet)
  }

  /** Hexadecimal; empty before the start. */
  get secret(): string {
    return this.#secret
  }

  get ended(): readonly EndedSession[] {
    return this.#ended.list()
  }

  /** Ends a session in all workers, and tells the fleet. */
  end(session: EndedSession): void {
    this.adopt(session)
    this.#onEnded()
  }

  /** Ends a session here that has ended at another gateway. */
  adopt(session: EndedSession): void {
    if (this.#ended.has(session.id)) return
    this.#ended.add(session)
    this.#tell({ type: 'session.ended', ended: session })
  }

  /** Calls `onEnded` after each session that ends here. */
  share(onEnded: () => void): void {
    this.#onEnded = onEnded
  }
}

async function secretOf(fleet: Config['fleet']): Promise<string> {
  const { fleetSecrets } = await import('../fleet/fleet-secrets.ts')
  const [first = ''] = await fleetSecrets(fleet)
  const purpose = `kiro-gateway sessions ${fleet.name}`
  return Buffer.from(hkdfSync('sha256', first, '', purpose, SECRET_BYTES)).toString('hex')
}
