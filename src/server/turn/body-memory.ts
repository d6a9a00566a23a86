import type { MemoryBudget, Reservation } from '../../admission/memory-budget.ts'
import { abortErrorOf, GatewayError } from '../../shared/errors.ts'
import type { JobOwner } from '../../transform/thread-lane.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { BodyRoom } from '../body/request-body.ts'

/**
 * Bytes of memory per byte of body. Measured as peak array buffers, with agents' bodies of 5 and 10 MB:
 * body and payload of 1.03 take 2.03 together, this thread at most 1.03 of it. Inline conversion also takes
 * 7 to 8 times the size of this heap, mostly garbage; it is counted with more, which costs little at its
 * size.
 */
const FACTOR_IN_THREAD = 2
const FACTOR_INLINE = 4
/** The payload and its copy for another attempt, until the answer begins. */
const FACTOR_WHILE_HELD = 2

/** Smaller bodies have a lane besides the budget, so that large ones never delay them. */
export const SMALL_BODY_BYTES = 128 * 1024

/** Part of a request that every answer may keep, planned with its connection: thirty tools. */
const FREE_KEPT_BYTES = 32 * 1024
/** The gateway's own prompts may add this to a small body. */
const FREE_PAYLOAD_BYTES = 16 * 1024

export interface BodyMemoryOptions {
  readonly budget: MemoryBudget
  /** Counts what answers keep of their requests in the other two budgets: no key may fill them with that. */
  readonly kept: MemoryBudget
  readonly smallLane: MemoryBudget
  readonly inlineMaxBytes: number
  readonly key: string
  readonly signal: AbortSignal
  readonly timeoutMs: number
}

/** Memory of one request. After `release()` nothing is held or waited for. */
export class BodyMemory implements BodyRoom, Disposable {
  readonly largestBytes: number
  readonly #options: BodyMemoryOptions
  /** Bounded by the steps of a body of the largest size. */
  readonly #reservations: Reservation[] = []
  #bytes = 0
  /** Held until the answer ends. */
  #keptBytes = 0
  #kept: Reservation | null = null
  #isReleased = false
  /** Made only for a wait: joining two signals costs a request more than all else here. */
  #wait: AbortController | null = null

  constructor(options: BodyMemoryOptions) {
    const { budget, inlineMaxBytes } = options
    this.#options = options
    this.largestBytes = largestThatFits(budget.totalBytes, inlineMaxBytes)
  }

  /** Key that the memory is reserved for. */
  get key(): string {
    return this.#options.key
  }

  async reserve(bodyBytes: number): Promise<void> {
    await this.#reserve(bodyBytes, this.#bytesFor(bodyBytes))
  }

  /** Reserves the bytes of a body alone, before `extend()` adds what its conversion takes. */
  async reserveUnread(bodyBytes: number): Promise<void> {
    await this.#reserve(bodyBytes, bodyBytes)
  }

  async #reserve(bodyBytes: number, bytes: number): Promise<void> {
    this.#refuseReleased()
    const { budget, smallLane, key, timeoutMs } = this.#options
    const isBudgetFree = budget.isFree(bytes)
    const isSmall = bodyBytes <= SMALL_BODY_BYTES
    if (!isBudgetFree && isSmall && smallLane.isFreeFor(bytes, key)) {
      return this.#add(smallLane.grow(bytes, key))
    }
    const wait = { key, signal: this.#signalFor(bytes), timeoutMs }
    this.#own(await budget.reserve(bytes, wait))
  }

  get isContested(): boolean {
    const { budget, key } = this.#options
    return budget.isContested(key) || budget.isBlocked
  }

  async extend(bodyBytes: number): Promise<void> {
    this.#refuseReleased()
    const bytes = this.#bytesFor(bodyBytes) - this.#bytes
    if (bytes <= 0) return
    const { budget, smallLane, key, timeoutMs } = this.#options
    const isInLane = bodyBytes <= SMALL_BODY_BYTES && smallLane.isFreeFor(bytes, key)
    if (isInLane && !budget.isFree(bytes)) return this.#own(smallLane.grow(bytes, key))
    const wait = { key, signal: this.#signalFor(bytes), timeoutMs }
    this.#own(await budget.extend(bytes, this.#bytes, wait))
  }

  loosenTo(bodyBytes: number): void {
    this.#bytes = this.#shrink(this.#bytesFor(bodyBytes), 'loosenTo')
  }

  grow(bodyBytes: number): void {
    this.#refuseReleased()
    const more = this.#bytesFor(bodyBytes) - this.#bytes
    if (more > 0) this.#add(this.#grow(more))
  }

  growForPayload(payloadBytes: number, bodyBytes: number): void {
    this.#refuseReleased()
    const bytes = this.#bytesFor(bodyBytes) + Math.max(0, payloadBytes - bodyBytes)
    const { totalBytes } = this.#options.budget
    if (Math.max(bytes, payloadBytes * FACTOR_WHILE_HELD) > totalBytes) {
      const message =
        `The request would be ${payloadBytes} bytes for the upstream, more than the gateway has memory for: it has ` +
        `${totalBytes} bytes for all requests. Send a shorter request, or give the container more memory.`
      throw new GatewayError('GW_BODY_TOO_LARGE', undefined, { message })
    }
    if (bytes > this.#bytes) this.#add(this.#grow(bytes - this.#bytes))
  }

  /** @throws {GatewayError} GW_MEMORY_FULL if answers of this key keep too much; and as `growTo()` */
  shrinkTo(payloadBytes: number, keptBytes = 0): void {
    this.#refuseReleased()
    this.#keep(keptBytes - FREE_KEPT_BYTES)
    this.#shrink(payloadBytes * FACTOR_WHILE_HELD + this.#keptBytes, 'shrinkTo')
    this.growTo(payloadBytes)
  }

  /** @throws {GatewayError} GW_MEMORY_FULL; the signal's own error */
  growTo(payloadBytes: number): void {
    this.#refuseReleased()
    const held = this.#reservations.reduce((sum, { bytes }) => sum + bytes, 0)
    const more = payloadBytes * FACTOR_WHILE_HELD + this.#keptBytes - held
    if (more > FREE_PAYLOAD_BYTES) this.#add(this.#grow(more))
  }

  /** Frees the payload, too. */
  shrinkToKept(): void {
    this.#shrink(this.#keptBytes, 'shrinkTo')
  }

  release(): void {
    this.#isReleased = true
    this.#wait?.abort()
    this.#kept?.release()
    for (const reservation of this.#reservations) reservation.release()
  }

  [Symbol.dispose](): void {
    this.release()
  }

  #keep(bytes: number): void {
    if (bytes <= 0 || this.#kept !== null) return
    const { kept, key } = this.#options
    if (!kept.isFreeFor(bytes, key)) {
      const message =
        'Running answers still hold too much memory of their requests. Try again shortly.'
      throw new GatewayError('GW_MEMORY_FULL', `${bytes} bytes`, { message, retryAfterS: 5 })
    }
    this.#kept = kept.grow(bytes, key)
    this.#keptBytes = bytes
  }

  #grow(bytes: number): Reservation {
    return this.#options.budget.grow(bytes, this.#options.key)
  }

  #refuseReleased(): void {
    const { signal } = this.#options
    if (signal.aborted || this.#isReleased) throw abortErrorOf(signal)
  }

  /** Memory that is free is given at once, so that nothing waits for `release()`. */
  #signalFor(bytes: number): AbortSignal {
    const { budget, signal } = this.#options
    if (budget.isFree(bytes)) return signal
    this.#wait ??= new AbortController()
    return AbortSignal.any([signal, this.#wait.signal])
  }

  #shrink(bytes: number, how: 'shrinkTo' | 'loosenTo'): number {
    let left = bytes
    for (const reservation of this.#reservations) {
      reservation[how](left)
      left -= reservation.bytes
    }
    return bytes - left
  }

  #bytesFor(bodyBytes: number): number {
    const inlineBytes = Math.min(bodyBytes, this.#options.inlineMaxBytes)
    return Math.max(bodyBytes * FACTOR_IN_THREAD, inlineBytes * FACTOR_INLINE)
  }

  #own(reservation: Reservation): void {
    if (this.#isReleased) reservation.release()
    else this.#add(reservation)
  }

  #add(reservation: Reservation): void {
    this.#reservations.push(reservation)
    this.#bytes += reservation.bytes
  }
}

export function bodyMemoryOf(
  { memory: budget, smallLane, kept, transforms, current }: BodyMemoryPlane,
  { key, signal }: JobOwner
): BodyMemory {
  const timeoutMs = current.config.server.bodyTimeoutMs
  const { inlineMaxBytes } = transforms
  return new BodyMemory({ budget, smallLane, kept, inlineMaxBytes, key, signal, timeoutMs })
}

type BodyMemoryPlane = Pick<DataPlane, 'memory' | 'smallLane' | 'kept' | 'transforms' | 'current'>

function largestThatFits(totalBytes: number, inlineMaxBytes: number): number {
  const factor = totalBytes < inlineMaxBytes * FACTOR_INLINE ? FACTOR_INLINE : FACTOR_IN_THREAD
  return Math.floor(totalBytes / factor)
}
