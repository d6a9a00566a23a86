import type { FleetCore } from '../../../src/fleet/fleet-core.ts'
import type { FleetAnswer, FleetQuestion } from '../../../src/fleet/fleet-store.ts'
import { elapsedMs, type Instant } from '../../../src/shared/elapsed.ts'
import type { ModelEngine } from './model-engine.ts'
import {
  below,
  type Folder,
  LEASE_MS,
  TICK_MS,
  TIMEOUT_MS,
  TIMES,
  type WorldPorts
} from './world-terms.ts'

export interface ProcessOptions extends WorldPorts {
  readonly folder: Folder
  readonly core: FleetCore
  readonly engine: ModelEngine
  /** It ends by itself: refused, or drained. */
  readonly onEnd: () => void
}

/** How long a goodbye may take. */
const GOODBYE_MS = 2 * TICK_MS

/** A gateway: the core in its primary, which may stand still while its workers go on, and their sockets. */
export class ModelProcess {
  readonly #options: ProcessOptions
  readonly folder: Folder
  readonly core: FleetCore
  /** Connections as the upstream counts them: open, and on their way out until a tick. */
  #open = 0
  #closing: { readonly count: number; readonly goneAt: number }[] = []
  #lending = 0
  want = 0
  life: 'running' | 'core stopped' | 'all stopped' = 'running'
  hasNetwork = true
  /** What was taken from it comes back then. */
  mendsAt = Infinity
  /** From which the workers count. */
  #term: Instant | null = null
  #isLeaving = false
  #endsAt = Infinity
  #asked: {
    readonly question: FleetQuestion
    readonly at: number
    answer: FleetAnswer | null
  } | null = null

  constructor(options: ProcessOptions) {
    this.#options = options
    this.folder = options.folder
    this.core = options.core
    this.folder.incs.push(this.core.inc)
  }

  get sockets(): number {
    return this.#closing.reduce((sum, { count }) => sum + count, this.#open)
  }

  /** What it may have at this moment, or has. */
  get reach(): number {
    return Math.max(this.sockets, this.core.size(this.instant()))
  }

  /** What was asked and has no answer, when it is killed. */
  get unanswered(): FleetQuestion | null {
    return this.#asked?.answer === null ? this.#asked.question : null
  }

  /** Until then a stopped worker may keep its sockets; what comes after no lease can keep. */
  get keepsUntil(): number {
    const { now } = this.#options
    if (this.#term === null) return now()
    return now() + LEASE_MS - elapsedMs(this.#term, this.instant())
  }

  instant(): Instant {
    const { machine } = this.folder
    const now = this.#options.now()
    return { mono: now + machine.monoOffset, wall: now + machine.wallOffset, up: now }
  }

  hear(rev: number | null): void {
    if (this.hasNetwork) this.core.onNews(rev)
  }

  tick(): void {
    const now = this.#options.now()
    this.#closing = this.#closing.filter(({ goneAt }) => goneAt > now)
    if (now >= this.mendsAt || this.#isStoppedTooLong()) this.mend()
    if (this.life !== 'all stopped') this.#workersLook()
    if (this.life === 'running') this.#timeOut()
    this.#pump()
    if (this.life === 'running' && now >= this.#endsAt) this.#options.onEnd()
  }

  /** Drains: what runs ends, everything is given back, and it says goodbye. */
  leave(): void {
    this.#isLeaving = true
    this.want = 0
    this.core.leave()
  }

  /** Goes on for a while as if nothing were wrong. */
  live(max: number): void {
    const { random } = this.#options
    const dice = random()
    if (!this.#isLeaving) {
      if (dice < 0.15) this.want = dice < 0.08 ? max : below(random, max + 1)
      else if (dice < 0.18) this.want = 0
    }
    for (let rounds = below(random, 4); rounds >= 0; rounds -= 1) {
      this.progress()
      if (random() < 0.5) this.useSockets(random())
    }
  }

  mend(): void {
    const { random } = this.#options
    this.mendsAt = Infinity
    if (random() < 0.7) this.hasNetwork = true
    else if (!this.hasNetwork)
      this.mendsAt = this.#options.now() + (1 + below(random, 20)) * TICK_MS
    if (this.life === 'running') return
    const { machine } = this.folder
    machine.isAsleep = false
    this.life = 'running'
    // Of a process that goes on, what was in its sockets may come before its timers or after them.
    if (random() < 0.5) this.progress()
    if (this.#options.fault !== 'workers do not look at the lease on waking') this.#workersLook()
    this.#pump()
  }

  /** The question arrives, or the answer does. */
  progress(): void {
    const asked = this.#asked
    if (asked === null) {
      this.#pump()
      return
    }
    if (!this.hasNetwork) return
    if (asked.answer === null) {
      if (this.#options.engine.isUp) asked.answer = this.#options.engine.execute(asked.question)
      return
    }
    if (this.life !== 'running') return
    this.#asked = null
    this.#options.tell?.(`${this.core.inc} hears the answer`)
    this.core.onAnswer(asked.answer, this.instant())
    this.#pump()
  }

  /** Opens, closes and lends; nothing of it while the process is stopped. */
  useSockets(dice: number): void {
    const { random } = this.#options
    if (this.life === 'all stopped') return
    this.#workersLook()
    if (this.life === 'core stopped') {
      if (dice > 0.9) this.#close(below(random, this.#open + 1))
      return
    }
    const now = this.instant()
    this.#pump()
    if (this.core.stage(now) === 'cut') {
      this.#letGo()
      return
    }
    const size = this.core.size(now)
    const room = size - this.#lending - this.sockets
    if (dice < 0.7 && room > 0 && this.want > 0) {
      const count = 1 + below(random, Math.min(room, this.want))
      this.#open += count
      this.want -= count
    } else if (dice > 0.85 || this.#isLeaving) this.#close(below(random, this.#open + 1))
    this.#lend(size)
    this.core.setWant(Math.max(0, this.want - Math.max(0, room)), below(random, 5) * TICK_MS)
    if (this.#isLeaving) this.#sayGoodbye()
    this.#pump()
  }

  #isStoppedTooLong(): boolean {
    if (this.life !== 'all stopped' || this.#term === null) return false
    return elapsedMs(this.#term, this.instant()) >= LEASE_MS
  }

  #timeOut(): void {
    const { random, now, engine } = this.#options
    const asked = this.#asked
    if (asked === null || now() - asked.at < TIMEOUT_MS) return
    if (asked.answer === null && random() < 0.6) engine.abandon(asked.question)
    this.#asked = null
    this.core.onUnknown(this.instant())
  }

  /** Workers reset everything by themselves when the time has come. */
  #workersLook(): void {
    if (this.#term === null || elapsedMs(this.#term, this.instant()) < TIMES.cutsMs) return
    if (this.#options.fault === 'workers do not look at the lease on waking') {
      if (this.life === 'running' && this.#options.random() < 0.9) return
    }
    this.#cut()
  }

  #cut(): void {
    this.#close(this.#open)
    this.#term = null
  }

  #close(wanted: number): void {
    const { random, now } = this.#options
    const count = Math.min(wanted, this.#open)
    if (count <= 0) return
    this.#open -= count
    const goneAt = now() + below(random, 3) * TICK_MS
    if (goneAt > now()) this.#closing.push({ count, goneAt })
  }

  #letGo(): void {
    this.#cut()
    this.#lending = 0
    if (this.sockets > 0) return
    this.core.onAllGone()
    this.folder.incs.push(this.core.inc)
    this.#pump()
  }

  #lend(size: number): void {
    const { random, fault } = this.#options
    if (this.#lending === 0) {
      const { permits, urgent } = this.core.demand(this.instant())
      const busy = Math.min(this.#open, below(random, this.#open + 1))
      const idle = Math.max(0, size - busy - this.want)
      this.#lending = Math.min(size, Math.max(urgent, Math.min(permits, idle)))
      this.#close(this.sockets - (size - this.#lending))
    }
    const isGone = this.sockets <= size - this.#lending
    const isEarly = fault === 'returns before sockets are gone'
    if (this.#lending > 0 && size > 0 && (isGone || isEarly)) {
      this.core.giveBack(this.#lending)
      this.#lending = 0
    }
  }

  #sayGoodbye(): void {
    if (this.core.hasLeft) {
      this.#options.onEnd()
      return
    }
    if (this.sockets > 0) return
    this.#lending = 0
    this.core.giveBack(this.core.held)
    this.#endsAt = Math.min(this.#endsAt, this.#options.now() + GOODBYE_MS)
  }

  #pump(): void {
    if (this.life !== 'running') return
    const question = this.core.next(this.instant())
    if (question !== null) this.#asked = { question, at: this.#options.now(), answer: null }
    this.folder.known = this.core.known
    if (this.core.sentAt !== null) this.#term = this.core.sentAt
    if (this.core.refusal === 'name') this.#options.onEnd()
  }
}
