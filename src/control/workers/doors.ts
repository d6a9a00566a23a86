/** Tells a worker whether to take new connections of clients; it answers each time, once that is so. */
export type TellDoor<Member> = (member: Member, isAccepting: boolean) => void

/**
 * How a worker's door stands. One that was told something says when it is done, and is told nothing else before.
 *
 * ```
 *   open ──full, and another open one has room──▶ closing ──said so──▶ closed
 *    ▲                                                                   │ has room, or nobody else has
 *    └───────────────────said so──────────────── opening ◀───────────────┘
 * ```
 */
interface Door {
  isFull: boolean
  state: 'open' | 'closing' | 'closed' | 'opening'
}

/**
 * Which workers take new connections of clients. The system gives them to whoever is there first, whether it has room
 * or not: one that is full leaves them to those that are not. When all are full, all take them, to refuse politely what
 * they can't serve.
 *
 * At any time at least one takes them, or the port would be closed: a door is closed only while another stands open
 * for certain, and has no reason to close. Only the death of the last worker that listens leaves nobody for a moment.
 */
export class Doors<Member> {
  readonly #tell: TellDoor<Member>
  /** Of those that serve. Bounded by the number of workers. */
  readonly #doors = new Map<Member, Door>()

  constructor(tell: TellDoor<Member>) {
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
