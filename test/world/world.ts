import { AsyncLocalStorage } from 'node:async_hooks'
import { Chance } from './chance.ts'
import { type Due, EventQueue } from './event-queue.ts'
import { EventLog } from './event-log.ts'

/** What Node offered before the world replaced it. */
const realImmediate = setImmediate

/** Events that are run between two turns of the real event loop. */
const BATCH = 64
/** More events at one point of time mean that the program waits for itself. */
const MOST_AT_ONCE = 2_000_000

/** A process of the world, or a person in it: what it has set to happen ends with it. */
export class Actor {
  readonly name: string
  readonly pid: number
  readonly queue = new EventQueue()
  /** While it stands still, nothing of it happens, and what it would have done waits. */
  isPaused = false
  isGone = false
  /** Ms by which its clock on the wall is wrong; its timers do not care. */
  wallOffsetMs = 0
  /** Called once, when it is gone. */
  readonly onGone = new Set<() => void>()
  /** Process that it is a thread of; itself, if it is a process. */
  readonly host: Actor
  /** CPU time of a thread, virtual ms; `null` for a process. */
  cpuMs: (() => number) | null = null
  /** Calls something as this actor, which nothing else is known of. Made once: a context for each event has its price. */
  enter: (act: () => void) => void = (act) => act()

  constructor(name: string, pid: number, host: Actor | null = null) {
    this.name = name
    this.pid = pid
    this.host = host ?? this
  }

  /** A thread stands still with its process. */
  get standsStill(): boolean {
    return this.isPaused || this.host.isPaused
  }
}

/** What Node calls those who wait for the system or for another thread. */
const OF_THE_MACHINE =
  /^(FS|GetAddrInfo|GetNameInfo|Query|TCP|Pipe(Connect|Server)|UDP|TLS|Worker|MessagePort|Process|.*(Request|Job)$)/

/** Something that must never be, in a world. */
export class Violation extends Error {}

/**
 * Virtual time, and everything that happens in it, one event after the other.
 *
 * Each actor is an event loop of its own: what it has set goes off in order. Among actors that have something due at
 * the same time, the seed picks one. Between two events Node runs all ticks and promises, so that an event ends before the
 * next begins. Nothing else may happen in the process: no real timer, socket or thread.
 */
export class World extends Chance {
  readonly seed: number
  readonly log: EventLog
  /** Virtual ms since the world began; monotonic, and the same for all actors. */
  now = 0
  /** Events so far. */
  events = 0
  /** Belongs to nobody and never ends: what happens outside of all processes. */
  readonly nature: Actor
  readonly #actors = new Set<Actor>()
  readonly #current = new AsyncLocalStorage<Actor>()
  readonly #outside = AsyncLocalStorage.snapshot()
  #seq = 0
  #nextPid = 1000
  #atOnce = 0
  #failure: Error | null = null

  constructor(seed: number, write: ((line: string) => void) | null = null) {
    super(seed)
    this.seed = seed
    this.log = new EventLog(write)
    this.nature = this.spawn('world')
  }

  /** Who acts now. */
  get actor(): Actor {
    return this.#current.getStore() ?? this.nature
  }

  spawn(name: string): Actor {
    const actor = new Actor(name, this.#nextPid++)
    this.#add(actor)
    return actor
  }

  /** Whether a process has this number. */
  hasProcess(pid: number): boolean {
    for (const actor of this.#actors) if (actor.pid === pid) return true
    return false
  }

  /** A thread, which ends with its process. */
  spawnThread(name: string, host: Actor): Actor {
    const actor = new Actor(name, host.pid, host)
    this.#add(actor)
    const end = (): void => this.end(actor)
    host.onGone.add(end)
    actor.onGone.add(() => host.onGone.delete(end))
    return actor
  }

  #add(actor: Actor): void {
    this.#actors.add(actor)
    this.#outside(() =>
      this.#current.run(actor, () => (actor.enter = AsyncLocalStorage.snapshot()))
    )
  }

  /** Ends an actor: nothing of it happens any more. */
  end(actor: Actor): void {
    if (actor.isGone) return
    actor.isGone = true
    actor.queue.clear()
    this.#actors.delete(actor)
    for (const act of actor.onGone) act()
  }

  /** Acts as this actor, now. */
  as<T>(actor: Actor, act: () => T): T {
    return this.#current.run(actor, act)
  }

  /** Has an actor do something later; by default, the one that acts now. An actor that is gone does nothing. */
  after(
    delayMs: number,
    act: () => void,
    { actor = this.actor, kind = 'arrival' }: { actor?: Actor; kind?: Due['kind'] } = {}
  ): Due {
    const due: Due = {
      at: this.now + delayMs,
      act,
      seq: this.#seq++,
      place: -1,
      isHolding: true,
      kind
    }
    if (!actor.isGone) actor.queue.add(due)
    return due
  }

  /** Sets an event again, `delayMs` from now. */
  again(due: Due, delayMs: number, actor: Actor): void {
    actor.queue.remove(due)
    due.at = this.now + delayMs
    due.seq = this.#seq++
    if (!actor.isGone) actor.queue.add(due)
  }

  note(text: string, actor = this.actor): void {
    this.log.add(this.now, actor.name, text)
  }

  /** The world ends with this. */
  fail(error: Error): void {
    if (this.#failure === null)
      this.note(`VIOLATED: ${error.message.split('\n', 1)[0]}`, this.nature)
    this.#failure ??= error
  }

  /** Lets time pass until `isOver`, asked after each event, or until nothing can happen any more. Rejects with what has failed. */
  async run(isOver: () => boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    let open = 0
    let hasEnded = false
    const turn = (): void => {
      open -= 1
      if (!hasEnded) {
        hasEnded = this.#failure !== null || isOver() || !this.#step()
        if (hasEnded) {
          if (this.#failure === null) resolve()
          else reject(this.#failure)
        }
      }
      if (!hasEnded && open === 0) batch()
    }
    const batch = (): void => {
      this.#refuseRealWorld()
      for (open = 0; open < BATCH; open += 1) realImmediate(turn)
    }
    // An actor's code that fails ends the world, as it would end its process.
    const onError = (error: Error): void => this.fail(error)
    process.on('uncaughtException', onError)
    try {
      this.#current.exit(batch)
      await promise
    } finally {
      process.off('uncaughtException', onError)
    }
  }

  /** Whatever waits for the real machine would go another way in each run. */
  #refuseRealWorld(): void {
    const real = process.getActiveResourcesInfo().filter((name) => OF_THE_MACHINE.test(name))
    if (real.length > 0)
      this.fail(new Violation(`the program waits for the machine: ${real.join(', ')}`))
  }

  #step(): boolean {
    const actor = this.#next()
    const due = actor?.queue.first
    if (actor === null || due === undefined) return false
    actor.queue.remove(due)
    if (due.at > this.now) {
      this.now = due.at
      this.#atOnce = 0
    } else if (++this.#atOnce > MOST_AT_ONCE) {
      this.fail(new Violation(`time stands still: ${actor.name} has always something to do`))
    }
    this.events += 1
    actor.enter(due.act)
    return true
  }

  /** Who has something due first; of several at one time, the seed picks one. */
  #next(): Actor | null {
    let at = Infinity
    let ready: Actor[] = []
    for (const actor of this.#actors) {
      const { first } = actor.queue
      if (first === undefined || actor.standsStill) continue
      const due = Math.max(first.at, this.now) // of one that stood still
      if (due > at) continue
      if (due < at) ready = []
      at = due
      ready.push(actor)
    }
    if (ready.length === 0) return null
    return ready.length === 1 ? (ready[0] ?? null) : this.pick(ready)
  }
}
