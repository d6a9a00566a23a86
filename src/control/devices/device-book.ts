import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  type DeviceState,
  type DeviceStep,
  endStep,
  newDeviceState
} from '../../devices/device-core.ts'
import { makeDeviceSecret } from '../../devices/device-secrets.ts'
import type { Logger } from '../../observe/logger.ts'
import { messageOf } from '../../shared/errors.ts'
import { type DeviceStore, DeviceStoreError } from './device-store.ts'

export interface DeviceBookOptions {
  readonly log: Pick<Logger, 'error' | 'info'>
  /** Called with each new state, before the step that made it resolves. */
  readonly onChange: (state: DeviceState) => void
  /** Epoch ms. */
  readonly now?: () => number
  readonly retryMs?: number
}

type Apply<T> = (state: DeviceState, now: number) => DeviceStep<T>

interface Queued {
  readonly apply: Apply<unknown>
  readonly resolve: (outcome: unknown) => void
  readonly reject: (cause: unknown) => void
}

interface Taken {
  readonly one: Queued
  readonly step: DeviceStep<unknown>
}

/** Steps that are written together; further ones wait for the next write. */
const BATCH = 64
const MAX_QUEUED = 2_000
/** Urgent steps have room beside a full queue. */
const MAX_URGENT = 1_000
const MAX_TRIES = 20
const RETRY_MS = 5_000

/**
 * Takes steps of sign-ins one after the other, and answers each once its result is kept. Steps that come while one is
 * written share the next write. If it fails, nothing has changed, but that a sign-in has ended stays true.
 */
export class DeviceBook {
  readonly #options: DeviceBookOptions
  readonly #now: () => number
  #store: DeviceStore | null = null
  #endNews: () => void = () => {}
  #state: DeviceState | null = null
  /** The store may have something newer than `#state`. */
  #isStale = true
  /** The store has lost what it had. */
  #isLost = false
  #isLooking = false
  /** Bounded by MAX_QUEUED + MAX_URGENT, together with the other queue. */
  readonly #urgent: Queued[] = []
  /** Bounded by MAX_QUEUED. */
  readonly #queue: Queued[] = []
  #isRunning = false
  /** Ids of sign-ins whose end is not kept yet. Bounded by the sign-ins that there are. */
  readonly #unsavedEnds = new Set<string>()
  #retry: NodeJS.Timeout | null = null
  #problem: string | null = null
  #isClosed = false

  constructor(options: DeviceBookOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /** Reads and writes there from now on. */
  open(store: DeviceStore): void {
    this.#endNews()
    this.#store = store
    this.#isStale = true
    this.#endNews = store.onNews(() => void this.look())
  }

  close(): void {
    this.#isClosed = true
    this.#endNews()
    if (this.#retry !== null) clearTimeout(this.#retry)
  }

  /** The newest state that is known; `null` before the first. */
  get state(): DeviceState | null {
    return this.#state
  }

  /** Reads what others have written. Never rejects. */
  async look(): Promise<void> {
    this.#isStale = true
    if (this.#isLooking) return
    this.#isLooking = true
    const looked = this.change((state) => {
      this.#isLooking = false // news from now on need another look
      return { state, outcome: null }
    })
    await looked.catch(() => {}) // the log has the reason
    this.#isLooking = false
  }

  /**
   * Urgent steps go before all others: a thousand strangers keep no user from ending a sign-in.
   * @throws {DeviceStoreError} if the state cannot be read or kept: then nothing has changed
   */
  change<T>(apply: Apply<T>, isUrgent?: boolean): Promise<T>
  change(apply: Apply<unknown>, isUrgent = false): Promise<unknown> {
    const most = isUrgent ? MAX_QUEUED + MAX_URGENT : MAX_QUEUED
    if (this.#isClosed || this.#queued >= most) {
      return Promise.reject(new DeviceStoreError('Too many devices sign in at once. Try again.'))
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const queue = isUrgent ? this.#urgent : this.#queue
    queue.push({ apply, resolve, reject })
    if (!this.#isRunning) void this.#run() // never rejects
    return promise
  }

  /** Like `change()`, but what is known is read again before a doubtful outcome: another gateway may have written. */
  async changeSurely<T>(
    apply: Apply<T>,
    isDoubtful: (outcome: T) => boolean,
    isUrgent = false
  ): Promise<T> {
    const outcome = await this.change(apply, isUrgent)
    if (!isDoubtful(outcome)) return outcome
    this.#isStale = true
    return this.change(apply, isUrgent)
  }

  get #queued(): number {
    return this.#urgent.length + this.#queue.length
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#queued > 0) {
      const batch = this.#urgent.splice(0, BATCH)
      batch.push(...this.#queue.splice(0, BATCH - batch.length))
      try {
        await this.#take(batch)
      } catch (cause) {
        for (const { reject } of batch) reject(cause)
      }
      await nextTurn() // thousands of steps must not hold up everything else
    }
    this.#isRunning = false
  }

  async #take(batch: readonly Queued[]): Promise<void> {
    let base: DeviceState
    try {
      base = await this.#load()
    } catch (cause) {
      if (this.#state === null) throw cause
      return this.#refuse(this.#apply(batch, this.#state).taken, cause)
    }
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      const { state, taken } = this.#apply(batch, base)
      if (state === base && !this.#isLost) return answerAll(taken)
      const kept = await this.#keep(state, taken)
      if (kept === null) return
      if (kept.isWritten) {
        this.#set(state)
        this.#unsavedEnds.clear()
        return answerAll(taken)
      }
      base = kept.found ?? base
      this.#set(base)
    }
    throw new DeviceStoreError('The sign-ins of devices keep changing. Try again.')
  }

  #apply(
    batch: readonly Queued[],
    base: DeviceState
  ): { readonly state: DeviceState; readonly taken: readonly Taken[] } {
    const now = this.#now()
    const taken: Taken[] = []
    let { state } = endStep(base, this.#unsavedEnds, now)
    for (const one of batch) {
      const step = one.apply(state, now)
      state = step.state
      taken.push({ one, step })
    }
    return { state, taken }
  }

  /** Returns `null` if it cannot be written: then all have their answer. */
  async #keep(state: DeviceState, taken: readonly Taken[]) {
    try {
      const kept = await this.#open().write(state)
      if (kept.isWritten) this.#isLost = false
      this.#complain(null)
      return kept
    } catch (cause) {
      this.#isStale = true
      this.#complain(cause)
      this.#refuse(taken, cause)
      return null
    }
  }

  /** Rejects steps that cannot be kept, but for ends, which hold all the same. */
  #refuse(taken: readonly Taken[], cause: unknown): void {
    for (const { one, step } of taken) {
      if (step.ends === undefined) {
        one.reject(cause)
        continue
      }
      for (const id of step.ends) this.#unsavedEnds.add(id)
      one.resolve(step.outcome)
    }
    this.#endAnyway()
  }

  /** Ends sign-ins here, and tries to write it until it is kept. */
  #endAnyway(): void {
    const before = this.#state
    if (this.#unsavedEnds.size === 0 || before === null) return
    this.#set(endStep(before, this.#unsavedEnds, this.#now()).state)
    if (this.#isClosed) return
    this.#retry ??= setTimeout(() => {
      this.#retry = null
      void this.look()
    }, this.#options.retryMs ?? RETRY_MS).unref()
  }

  async #load(): Promise<DeviceState> {
    if (!this.#isStale && this.#state !== null) return this.#state
    this.#isStale = false
    try {
      const found = await this.#open().read()
      const state = found ?? this.#state ?? newDeviceState(makeDeviceSecret())
      if (found !== null) this.#set(found)
      this.#isLost = found === null && this.#state !== null
      if (this.#unsavedEnds.size > 0)
        this.#set(endStep(state, this.#unsavedEnds, this.#now()).state)
      return state
    } catch (cause) {
      this.#isStale = true
      this.#complain(cause)
      throw cause
    }
  }

  #open(): DeviceStore {
    if (this.#store !== null) return this.#store
    throw new DeviceStoreError('The gateway has just started. Try again in a moment.')
  }

  #set(state: DeviceState): void {
    if (state === this.#state) return
    this.#state = state
    this.#options.onChange(state)
  }

  /** Logs each problem once, and its end. */
  #complain(cause: unknown): void {
    if (cause instanceof DeviceStoreError && cause.isReported) return
    const problem = cause === null ? null : messageOf(cause)
    if (problem === this.#problem) return
    this.#problem = problem
    const { log } = this.#options
    if (problem === null) log.info('the sign-ins of devices are saved again')
    else log.error({ err: cause }, 'the sign-ins of devices cannot be saved')
  }
}

function answerAll(taken: readonly Taken[]): void {
  for (const { one, step } of taken) one.resolve(step.outcome)
}
