import type { Worker } from 'node:cluster'
import { EventEmitter } from 'node:events'
import type { Actor, World } from './world.ts'

export interface StartedProcess {
  /** Its end of the channel, as `process` is in a real one. */
  readonly endpoint: EventEmitter
  readonly exit: (code: number) => void
}

/** What arrives of a message, as the channel of Node's cluster makes it. */
function copyOf(message: object): () => unknown {
  if (isSnapshot(message)) {
    const copy = copyOfSnapshot(message)
    return () => copy
  }
  const text = JSON.stringify(message)
  return () => JSON.parse(text) as unknown
}

interface SnapshotMessage {
  readonly type: string
  readonly metrics: readonly { readonly values: readonly object[] }[]
}

function isSnapshot(message: object): message is SnapshotMessage {
  return Reflect.get(message, 'type') === 'metrics.snapshot'
}

/** As JSON would, of which a quarter of what an idle hour costs would be: counts are changed in place, nothing below them. */
function copyOfSnapshot({ type, metrics }: SnapshotMessage): SnapshotMessage {
  const copies = metrics.map((metric) => ({
    ...metric,
    values: metric.values.map((value) => ({ ...value }))
  }))
  return { type, metrics: copies }
}

/** A child process of the world, as its parent sees it: the primary takes it for a worker of Node's cluster. */
export class WorldProcess extends EventEmitter {
  readonly actor: Actor
  readonly process: { readonly pid: number; readonly stderr: null; readonly kill: () => void }
  readonly #world: World
  readonly #parent: Actor
  readonly #endpoint = new EventEmitter()
  /** When the last message of each direction arrives: none overtakes another. */
  #lastDown = 0
  #lastUp = 0
  #isConnected = true
  /** Called when a signal ends it, while its connections are still there. */
  onKilled: () => void = () => {}
  /** Called when its parent has taken a message of this type from it. */
  onHeard: (type: unknown) => void = () => {}

  /** `lateMs`: so much later than usual it begins to run. */
  constructor(
    world: World,
    { name, lateMs }: { readonly name: string; readonly lateMs: number },
    begin: (started: StartedProcess) => void
  ) {
    super()
    this.#world = world
    this.#parent = world.actor
    this.actor = world.spawn(name)
    this.process = { pid: this.actor.pid, stderr: null, kill: () => this.kill() }
    Object.assign(this.#endpoint, {
      send: (message: object, done: (error: Error | null) => void) => this.#sendUp(message, done)
    })
    const exit = (code: number): void => this.#exit(code, null)
    world.after(
      world.between(150, 400) + lateMs,
      () => {
        world.note('started')
        begin({ endpoint: this.#endpoint, exit })
      },
      { actor: this.actor }
    )
  }

  isConnected(): boolean {
    return this.#isConnected
  }

  /** To the process. */
  send(message: object, done: (error: Error | null) => void): boolean {
    const copy = copyOf(message)
    const { actor } = this
    const arrivesIn = this.#delayAfter(this.#lastDown)
    this.#lastDown = this.#world.now + arrivesIn
    this.#world.after(arrivesIn, () => this.#endpoint.emit('message', copy()), { actor })
    process.nextTick(done, null)
    return true
  }

  #sendUp(message: object, done: (error: Error | null) => void): boolean {
    const copy = copyOf(message)
    const arrivesIn = this.#delayAfter(this.#lastUp)
    this.#lastUp = this.#world.now + arrivesIn
    const type: unknown = Reflect.get(message, 'type')
    const arrive = (): void => {
      this.emit('message', copy())
      this.onHeard(type)
    }
    this.#world.after(arrivesIn, arrive, { actor: this.#parent })
    process.nextTick(done, null)
    return true
  }

  /** Mostly at once; sometimes one of the two has other things to do. */
  #delayAfter(last: number): number {
    const world = this.#world
    const delayMs = world.isTrue(0.02) ? world.between(1, 20) : world.between(0.03, 0.4)
    return Math.max(delayMs, last - world.now)
  }

  /** SIGKILL. */
  kill(): void {
    const kill = (): void => this.#exit(null, 'SIGKILL')
    this.#world.after(this.#world.between(0.1, 5), kill, { actor: this.#world.nature })
  }

  #exit(code: number | null, signal: string | null): void {
    if (this.actor.isGone) return
    const world = this.#world
    if (signal !== null) this.onKilled()
    world.note(signal === null ? `exits with ${code}` : `is killed by ${signal}`, this.actor)
    world.end(this.actor)
    const [exitMs, closeMs] = [world.between(0.5, 8), world.between(0.5, 8)]
    const afterLast = Math.max(closeMs, this.#lastUp - world.now)
    world.after(exitMs, () => this.emit('exit', code, signal), { actor: this.#parent })
    world.after(
      afterLast,
      () => {
        this.#isConnected = false
        this.emit('disconnect')
      },
      { actor: this.#parent }
    )
  }

  /** As Node's cluster types it. */
  asWorker(): Worker {
    return this as unknown as Worker
  }
}
