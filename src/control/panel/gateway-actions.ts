import { fileURLToPath } from 'node:url'
import type { Config } from '../../config/settings.ts'
import type { Connections } from '../../dashboard/feed.ts'
import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import type { Bar } from '../../kiro/wire/fault-table.ts'
import { isInContainer } from '../../shared/container-marks.ts'
import { toIso } from '../../shared/dates.ts'
import { GatewayError } from '../../shared/errors.ts'
import { realFolder } from '../../shared/real-folder.ts'
import type { AuditActions } from './audit-actions.ts'
import { answer, givenText, panelError } from './panel-answer.ts'
import type { SettingsOperations } from './settings-actions.ts'
import type { StateActions } from './state-actions.ts'

export interface GatewayActionsOptions {
  readonly state: Pick<StateActions, 'look'>
  /** Lifts one limit that the upstream has set, or all; returns which. */
  readonly lift: (bar: string | null) => readonly string[]
  /** Resolves when the judgement is that of now. Never rejects. */
  readonly judgeAgain: () => Promise<void>
  /** False unless the worker is ready. */
  readonly replaceWorker: (slot: number) => boolean
  readonly config: () => Config
  /** `null` before the gateway has started. */
  readonly operations: () => Pick<
    SettingsOperations,
    'restart' | 'canRestart' | 'isEnding' | 'next'
  > | null
  readonly audit: Pick<AuditActions, 'note'>
}

/** The gateway's processes and connections, and what an operator can do about them. */
export class GatewayActions {
  readonly #options: GatewayActionsOptions

  constructor(options: GatewayActionsOptions) {
    this.#options = options
  }

  async show(): Promise<PanelAnswer> {
    const { now, account } = await this.#options.state.look()
    const { fleet, memory, workers } = now
    const installed = installedAs()
    return answer({
      version: account.version,
      node: account.node,
      started_at: toIso(account.startedAt),
      pid: process.pid,
      state_dir: await realFolder(this.#options.config().credentials.stateDir),
      installed,
      update: UPDATES[installed],
      workers: workers.map(({ slot, state, pid, startedAt, restarts }) => ({
        slot,
        state,
        pid,
        started_at: toIso(startedAt),
        restarts
      })),
      connections: toConnections(now.connections),
      fleet:
        fleet === null
          ? null
          : {
              name: fleet.name,
              member: fleet.member,
              stage: fleet.stage,
              phase: fleet.phase,
              replicas: fleet.replicas,
              max_connections: fleet.maxConnections,
              free: fleet.free,
              sign_in_holder: fleet.holder,
              problem: fleet.problem,
              members: fleet.members.map(({ isSilent, ...one }) => ({ ...one, silent: isSilent })),
              awaited: fleet.awaited
            },
      memory: { limit_bytes: memory.limitBytes, used_bytes: memory.usedBytes }
    })
  }

  async lift(call: PanelCall): Promise<PanelAnswer> {
    const bar = givenText(call.body, 'bar')
    const lifted = this.#options.lift(bar)
    if (lifted.length === 0) return answer({ lifted, sentence: 'No such limit is in force.' })
    await this.#options.judgeAgain()
    await this.#options.audit.note(call, {
      action: 'account.lift',
      subject: lifted.map((one) => LIMITS[one] ?? one).join(', '),
      before: { in_force: true },
      after: { in_force: false }
    })
    const sentence =
      'The next request is sent to Kiro again. If Kiro refuses it once more, the limit is remembered again.'
    return answer({ lifted, sentence })
  }

  async recycle(call: PanelCall): Promise<PanelAnswer> {
    const slot = Number(call.params['slot'])
    const { now } = await this.#options.state.look()
    const worker = now.workers.find((one) => one.slot === slot)
    if (worker === undefined) throw panelError('GW_NOT_FOUND', 'There is no such worker.')
    if (!this.#options.replaceWorker(slot)) {
      const message = `Worker ${slot} is ${worker.state}: only one that is ready can be replaced.`
      throw panelError('GW_CONFLICT', message)
    }
    await this.#options.audit.note(call, {
      action: 'worker.recycle',
      subject: `worker ${slot}`,
      before: { pid: worker.pid }
    })
    const sentence = `A new worker starts; worker ${slot} takes no new clients then and ends when its streams have ended.`
    return answer({ slot, sentence }, 202)
  }

  async restart(call: PanelCall): Promise<PanelAnswer> {
    const operations = this.#options.operations()
    if (operations?.canRestart() !== true) {
      const message = 'This gateway cannot start itself again. Restart it where it was started.'
      throw panelError('GW_CONFLICT', message)
    }
    if (operations.isEnding()) throw panelError('GW_CONFLICT', 'The gateway is already ending.')
    checkNext(operations)
    await this.#options.audit.note(call, { action: 'gateway.restart', subject: 'gateway' })
    setTimeout(operations.restart, RESTART_MS)
    const sentence =
      'The gateway ends its running answers and starts again. The page reconnects; sign in again then.'
    return answer({ sentence }, 202)
  }
}

/** Limits of the account in the words of the audit log. */
const LIMITS: Readonly<Record<string, string>> = {
  suspicion: 'suspicion of abuse',
  'not-admitted': 'refusal of this program',
  monthly: 'monthly quota',
  unnamed: 'quota',
  daily: 'daily quota',
  hourly: 'hourly quota',
  'credit-rate': 'limit of credits a minute',
  'user-rate': 'limit of requests for this user',
  rate: 'limit of requests'
} satisfies Readonly<Record<Bar, string>>

/** Time for the answer to reach its user. */
const RESTART_MS = 500

/** @throws {GatewayError} GW_CONFLICT if the gateway could not start with its settings */
function checkNext({ next }: Pick<SettingsOperations, 'next'>): void {
  try {
    next()
  } catch (cause) {
    if (!(cause instanceof GatewayError)) throw cause
    throw panelError('GW_CONFLICT', `${cause.message}\nThe gateway was not restarted.`)
  }
}

type Installation = 'npm' | 'clone' | 'image'

function installedAs(): Installation {
  if (isInContainer()) return 'image'
  const here = fileURLToPath(import.meta.url)
  return /[\\/]node_modules[\\/]/.test(here) ? 'npm' : 'clone'
}

const UPDATES: Readonly<Record<Installation, string>> = {
  npm: 'Run "npx kiro-gateway@latest", or "npm install -g kiro-gateway@latest", then restart.',
  clone: 'Run "git pull && npm ci", then restart.',
  image: 'Pull or build the new image, then "docker compose up -d".'
}

function toConnections({ members, inUse, idle, connecting, closing, ...rest }: Connections) {
  return {
    budget: rest.budget,
    unleased: rest.unleased,
    in_use: inUse,
    idle,
    connecting,
    closing,
    members: members.map((one) => ({
      name: one.name,
      leased: one.leased,
      waiting: one.waiting,
      in_use: one.inUse,
      idle: one.idle,
      connecting: one.connecting,
      closing: one.closing
    }))
  }
}
