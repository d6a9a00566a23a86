import type { FromWorker } from '../../ipc/messages.ts'

type DoorMessage = Extract<FromWorker, { readonly type: `clients.${string}` }>

/**
 * State of a worker's door. A worker gets no other order before it has confirmed the last.
 *
 * ```
 *   open ──not wanted, and another wanted one is open──▶ closing ──said so──▶ closed
 *    ▲                                                                         │ wanted
 *    └───────────────────────said so────────────────── opening ◀───────────────┘
 * ```
 */
interface Door {
  isFull: boolean
  isSilent: boolean
  load: number
  isCrowded: boolean
  readonly readyAt: number
  answers: number
  state: 'open' | 'closing' | 'closed' | 'opening'
}

/** Up to this load one worker takes all new connections. */
const BUSY_LOAD = 0.75
/** At this total load, one worker takes them again. */
const CALM_LOAD = 0.5
/**
 * Answers, and time since its start, after which a worker is no longer young. A young worker's code is not compiled yet,
 * so it would send the first bytes of a burst late.
 */
const YOUNG_ANSWERS = 100
const YOUNG_MS = 3_600_000
const CALM = { load: 0, isCrowded: false } as const

/**
 * Decides which workers accept new clients. The system gives a connection to the first worker that accepts, so full
 * ones stop; if all are full, all accept in order to refuse politely. Packed, one worker takes all while it can: one
 * process that wakes for several slow streams costs a quarter less CPU than two. While a worker is young, all accept. A
 * door closes only while another is known to be open. The port stays open: closed workers hold it too.
 */
export class Doors<Member> {
  readonly #tell: (member: Member, isAccepting: boolean) => void
  readonly #isPacked: () => boolean
  readonly #now: () => number
  /** Ready workers. Bounded by the number of workers. */
  readonly #doors = new Map<Member, Door>()
  #isSpread = false

  /**
   * `tell` tells a worker whether to accept new connections; the worker confirms. `isPacked` is asked at each decision. `now` is in
   * monotonic milliseconds.
   */
  constructor(
    tell: (member: Member, isAccepting: boolean) => void,
    isPacked: () => boolean = () => false,
    now: () => number = () => performance.now()
  ) {
    this.#tell = tell
    this.#isPacked = isPacked
    this.#now = now
  }

  onReady(member: Member): void {
    const young = { readyAt: this.#now(), answers: 0 }
    this.#doors.set(member, { isFull: false, isSilent: false, ...CALM, ...young, state: 'open' })
    this.settle()
  }

  onMessage(member: Member, message: DoorMessage): void {
    if (message.type === 'clients.full') this.#change(member, { isFull: message.isFull })
    else if (message.type === 'clients.load') {
      const { load, isCrowded } = message
      this.#change(member, { load, isCrowded })
    } else this.#change(member, { state: message.isAccepting ? 'open' : 'closed' })
  }

  onAnswers(member: Member, count: number): void {
    const answers = this.#doors.get(member)?.answers ?? 0
    this.#change(member, { answers: answers + count })
  }

  onSilence(member: Member, isSilent: boolean): void {
    if (this.#doors.get(member)?.isSilent !== isSilent) this.#change(member, { isSilent })
  }

  onLeft(member: Member): void {
    this.#doors.delete(member)
    this.settle()
  }

  settle(): void {
    const wanted = this.#wanted()
    const isOpenElsewhere = [...wanted].some(({ state }) => state === 'open')
    for (const [member, door] of this.#doors) {
      if (door.state === 'closed' && wanted.has(door)) {
        door.state = 'opening'
        this.#tell(member, true)
      } else if (door.state === 'open' && !wanted.has(door) && isOpenElsewhere) {
        door.state = 'closing'
        this.#tell(member, false)
      }
    }
  }

  #change(member: Member, change: Partial<Door>): void {
    const door = this.#doors.get(member)
    if (door === undefined) return
    Object.assign(door, change)
    this.settle()
  }

  #wanted(): ReadonlySet<Door> {
    const all = [...this.#doors.values()]
    const roomy = orElse(
      all.filter(({ isFull, isSilent }) => !isFull && !isSilent),
      all
    )
    if (!this.#isPacked()) return new Set(roomy)
    const now = this.#now()
    const isYoung = ({ answers, readyAt }: Door): boolean =>
      answers < YOUNG_ANSWERS && now < readyAt + YOUNG_MS
    const isBusy = ({ load }: Door): boolean => load >= BUSY_LOAD
    if (all.some((door) => isBusy(door) || door.isCrowded)) this.#isSpread = true
    else if (all.reduce((sum, { load }) => sum + load, 0) <= CALM_LOAD) this.#isSpread = false
    const areAllOpen = this.#isSpread || roomy.some(isYoung)
    if (!areAllOpen) return new Set(roomy.toSorted(byDoor).slice(0, 1))
    return new Set(
      orElse(
        roomy.filter((door) => !isBusy(door)),
        roomy
      )
    )
  }
}

function orElse<Item>(some: readonly Item[], others: readonly Item[]): readonly Item[] {
  return some.length > 0 ? some : others
}

/** Prefers the open and busiest worker, so that the fewest clients move. */
function byDoor(one: Door, other: Door): number {
  const isOpen = ({ state }: Door): number => Number(state === 'open')
  return isOpen(other) - isOpen(one) || other.load - one.load
}
