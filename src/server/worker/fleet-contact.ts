import { LONGEST_DELAY_MS } from '../../admission/clock.ts'
import type { Lease } from '../../admission/lease.ts'
import { holdFleetLock } from '../../fleet/fleet-folder.ts'
import type { FleetTold } from '../../ipc/life-signs.ts'
import type { Logger } from '../../observe/logger.ts'
import { instantNow, msToNextStage, termStage } from '../../shared/elapsed.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { ConnectionPool } from '../../upstream/connections/pool.ts'
import type { OpenTurns } from './open-turns.ts'
import type { MeterReadings } from './meter-readings.ts'

export interface FleetContactOptions {
  readonly stateDir: string
  readonly lease: Pick<Lease, 'setBar'>
  readonly pool: Pick<ConnectionPool, 'trim'>
  readonly turns: Pick<OpenTurns, 'abort' | 'size'>
  readonly readings: Pick<MeterReadings, 'giveUp'>
  readonly log: Pick<Logger, 'error'>
}

const RETRY_AFTER_S = 5
const SILENT =
  'This gateway has lost contact with its fleet. It accepts no new requests, because other gateways may soon use its connections.'
const CUT =
  'This gateway has lost contact with its fleet for so long that other gateways may use its connections. All of them were closed.'

/** Ends a worker's use of a lease in time, by its own clock, so that a stopped primary changes nothing. */
export class FleetContact {
  readonly #options: FleetContactOptions
  readonly lock: ReturnType<typeof holdFleetLock>
  #timer: NodeJS.Timeout | null = null
  #told: FleetTold | null = null
  #problem: string | null = null
  #isCut = false

  constructor(options: FleetContactOptions) {
    this.#options = options
    this.lock = holdFleetLock(options.stateDir)
  }

  /** Applies an expired lease: the primary or this worker may notice first. */
  onTold(told: FleetTold): void {
    const isOver = told.sentAt === null && (this.#told?.sentAt ?? null) !== null
    this.#told = told
    if (isOver) this.#cut()
    this.#look()
  }

  #look(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const { sentAt, times, problem = null } = this.#told ?? {}
    if (sentAt === null || sentAt === undefined || times === undefined) {
      this.#isCut = false
      return this.#bar(problem)
    }
    const now = instantNow()
    const stage = termStage(times, sentAt, now)
    if (stage === 'cut') return this.#cut()
    this.#isCut = false
    this.#bar(stage === 'closing' ? SILENT : problem)
    const waitMs = Math.min(LONGEST_DELAY_MS, msToNextStage(times, sentAt, now))
    this.#timer = setTimeout(() => this.#look(), Math.max(1, Math.ceil(waitMs))).unref()
  }

  #cut(): void {
    this.#bar(CUT)
    if (this.#isCut) return
    this.#isCut = true
    const { turns, readings, pool, log } = this.#options
    log.error({ streams: turns.size }, 'contact with the fleet lost: all connections are closed')
    turns.abort(lost(CUT))
    readings.giveUp()
    void pool.trim(0) // rejects only by a bug of the pool
  }

  #bar(problem: string | null): void {
    if (problem === this.#problem) return
    this.#problem = problem
    this.#options.lease.setBar(problem === null ? null : lost(problem))
  }
}

function lost(message: string): GatewayError {
  return new GatewayError('GW_FLEET_LOST', undefined, { message, retryAfterS: RETRY_AFTER_S })
}
