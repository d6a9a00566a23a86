/** Tells a worker whether to take new connections of clients. */
export type TellDoor<Member> = (member: Member, isAccepting: boolean) => void

/**
 * Which workers take new connections of clients. The system gives them to whoever is there first, whether it has room
 * or not: one that is full leaves them to those that are not. When all are full, all take them, to refuse politely what
 * they can't serve. At any time at least one takes them, or the port would be closed.
 */
export class Doors<Member> {
  readonly #tell: TellDoor<Member>
  /** Of those that serve: whether they are full. Bounded by the number of workers. */
  readonly #serving = new Map<Member, boolean>()
  /** Bounded by the number of workers. */
  readonly #closed = new Set<Member>()

  /** Bounded by the number of workers. */
  readonly #wereClosed = new Set<Member>()

  constructor(tell: TellDoor<Member>) {
    this.#tell = tell
  }

  onReady(member: Member): void {
    this.#serving.set(member, false)
    this.#settle()
  }

  onFull(member: Member, isFull: boolean): void {
    if (!this.#serving.has(member)) return
    this.#serving.set(member, isFull)
    this.#settle()
  }

  /** It leaves or is gone. */
  onLeft(member: Member): void {
    this.#serving.delete(member)
    this.#closed.delete(member)
    this.#wereClosed.delete(member)
    this.#settle()
  }

  #settle(): void {
    for (const [member, isFull] of this.#serving) {
      const isClosed = isFull && this.#isRoomElsewhere(member)
      if (isClosed === this.#closed.has(member)) continue
      if (isClosed) {
        this.#closed.add(member)
        this.#wereClosed.add(member)
      } else {
        this.#closed.delete(member)
      }
      this.#tell(member, !isClosed)
    }
  }

  /** A door that was told to open may not be open yet, so only those count that were never closed; or the port would be. */
  #isRoomElsewhere(member: Member): boolean {
    return [...this.#serving].some(
      ([other, isFull]) =>
        other !== member && !isFull && (!this.#wereClosed.has(other) || this.#closed.has(member))
    )
  }
}
