/**
 * The state of a worker's door. A worker reports that it has done what it was told, and is told nothing else before.
 *
 * ```
 *   open ──full, and another open one has room──▶ closing ──said so──▶ closed
 *    ▲                                                                   │ has room, or no other has
 *    └───────────────────said so──────────────── opening ◀───────────────┘
 * ```
 */
interface Door {
  isFull: boolean
  state: 'open' | 'closing' | 'closed' | 'opening'
}

/**
 * Decides which workers accept new connections of clients. The system gives a connection to the first worker that
 * accepts, whether it has room or not, so full workers stop accepting. When all are full, all accept, to refuse politely
 * what they can't serve.
 *
 * At least one worker accepts at any time, or the port would be closed: a door closes only while another is known to be
 * open and has no reason to close. The only gap is the death of the last worker that listens.
 */
export class Doors<Member> {
  readonly #tell: (member: Member, isAccepting: boolean) => void
  /** Of those that serve. Bounded by the number of workers. */
  readonly #doors = new Map<Member, Door>()

  /** `tell` tells a worker whether to accept new connections of clients; it reports when it has done so. */
  constructor(tell: (member: Member, isAccepting: boolean) => void) {
    this.#tell = tell
  }

  /** It listens. */
  onReady(member: Member): void {
    this.#doors.set(member, { isFull: false, state: 'open' })
    this.#settle()
  }

  onFull(member: Member, isFull: boolean): void {
    const door = this.#doors.get(member)
    if (door === undefined) return
    door.isFull = isFull
    this.#settle()
  }

  /** It has done what it was told. */
  onTold(member: Member, isAccepting: boolean): void {
    const door = this.#doors.get(member)
    if (door === undefined) return
    door.state = isAccepting ? 'open' : 'closed'
    this.#settle()
  }

  /** It leaves or is gone. */
  onLeft(member: Member): void {
    this.#doors.delete(member)
    this.#settle()
  }

  #settle(): void {
    const doors = [...this.#doors.values()]
    const isRoom = doors.some(({ isFull }) => !isFull)
    const isOpenElsewhere = doors.some(({ isFull, state }) => !isFull && state === 'open')
    for (const [member, door] of this.#doors) {
      const isWanted = !door.isFull || !isRoom
      if (door.state === 'closed' && isWanted) {
        door.state = 'opening'
        this.#tell(member, true)
      } else if (door.state === 'open' && !isWanted && isOpenElsewhere) {
        door.state = 'closing'
        this.#tell(member, false)
      }
    }
  }
}
