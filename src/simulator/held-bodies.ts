/** Bodies that never wait: beside long ones, whose answers may stall on purpose, they cost little. */
const SMALL_BYTES = 16 * 1024

/**
 * Bounds what requests under way hold of their bodies. More long ones wait unread, in order, until others are answered; one that
 * is larger than the room has it alone.
 */
export class HeldBodies {
  readonly #totalBytes: number
  #heldBytes = 0
  /** Bounded by the connections. */
  readonly #waiting = new Set<() => boolean>()

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes
  }

  /** Resolves when there is room, with what gives it back; or at once when the client leaves. */
  async enter(bytes: number, signal: AbortSignal): Promise<Disposable> {
    const held = Math.min(bytes, this.#totalBytes)
    const { promise, resolve } = Promise.withResolvers<void>()
    let isInside = false
    const enter = (): boolean => {
      if (held > SMALL_BYTES && this.#heldBytes + held > this.#totalBytes) return false
      this.#heldBytes += held
      isInside = true
      resolve()
      return true
    }
    const leave = (): void => {
      signal.removeEventListener('abort', leave)
      if (isInside) this.#heldBytes -= held
      isInside = false
      this.#waiting.delete(enter)
      resolve()
      this.#admit()
    }
    if ((held > SMALL_BYTES && this.#waiting.size > 0) || !enter()) this.#waiting.add(enter)
    signal.addEventListener('abort', leave, { once: true })
    await promise
    return { [Symbol.dispose]: leave }
  }

  #admit(): void {
    for (const enter of this.#waiting) {
      if (!enter()) return
      this.#waiting.delete(enter)
    }
  }
}
