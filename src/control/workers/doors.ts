import type { FromWorker } from '../../ipc/messages.ts'

type DoorMessage = Extract<FromWorker, { readonly type: `clients.${string}` }>

/**
 * The state of a worker's door. A worker reports that it has done what it was told, and is told nothing else before.
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
  /** From 0 to 1, as the worker reported it last. */
  load: number
  /** Many clients come to it at once. */
  isCrowded: boolean
  state: 'open' | 'closing' | 'closed' | 'opening'
}

/** One worker alone has all new connections up to this load. */
const BUSY_LOAD = 0.75
/** They are one's again when all together come to no more. */
const CALM_LOAD = 0.5
const CALM = { load: 0, isCrowded: false } as const

/**
 * Decides which workers accept new connections of clients. The system gives a connection to the first worker that
 * accepts, whether it has room or not, so full workers stop accepting. When all are full, all accept, to refuse politely
 * what they can't serve.
 *
 * Packed, one worker has all of them as long as that is enough: streams that come slowly cost a wake-up for each event, and
 * one process that wakes for several costs a quarter less than two that each wake for a few. The others join when it
 * is busy, full, silent or has a crowd before its door, and leave when there is little to do for all of them.
 *
 * At least one worker accepts at any time, or clients would wait: a door closes only while another is known to be
 * open and has no reason to close. The port stays open in any case, as those whose doors are closed hold it, too.
 */
export class Doors<Member> {
  readonly #tell: (member: Member, isAccepting: boolean) => void
  readonly #isPacked: () => boolean
  /** Doors of the workers that are ready. Bounded by the number of workers. */
  readonly #doors = new Map<Member, Door>()
  /** One worker was too few. */
  #isSpread = false

  /**
   * `tell` tells a worker whether to accept new connections of clients; it reports when it has done so. `isPacked`
   * is asked at each decision.
   */
  constructor(
    tell: (member: Member, isAccepting: boolean) => void,
    isPacked: () => boolean = () => false
  ) {
    this.#tell = tell
    this.#isPacked = isPacked
  }

  /** It listens. */
  onReady(member: Member): void {
    this.#doors.set(member, { isFull: false, isSilent: false, ...CALM, state: 'open' })
    this.settle()
  }

  /** It says how it stands, or that it has done what it was told. */
  onMessage(member: Member, message: DoorMessage): void {
    if (message.type === 'clients.full') this.#change(member, { isFull: message.isFull })
    else if (message.type === 'clients.load') {
      const { load, isCrowded } = message
      this.#change(member, { load, isCrowded })
    } else this.#change(member, { state: message.isAccepting ? 'open' : 'closed' })
  }

  /** It has not been heard of for longer than usual, or is heard again. */
  onSilence(member: Member, isSilent: boolean): void {
    if (this.#doors.get(member)?.isSilent !== isSilent) this.#change(member, { isSilent })
  }

  /** It leaves or is gone. */
  onLeft(member: Member): void {
    this.#doors.delete(member)
    this.settle()
  }

  /** Decides again. */
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
    const isBusy = ({ load }: Door): boolean => load >= BUSY_LOAD
    if (all.some((door) => isBusy(door) || door.isCrowded)) this.#isSpread = true
    else if (all.reduce((sum, { load }) => sum + load, 0) <= CALM_LOAD) this.#isSpread = false
    if (!this.#isSpread) return new Set(roomy.toSorted(byDoor).slice(0, 1))
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

/** The one that is open stays so, and of several the one with the most to do: fewest clients have to move. */
function byDoor(one: Door, other: Door): number {
  const isOpen = ({ state }: Door): number => Number(state === 'open')
  return isOpen(other) - isOpen(one) || other.load - one.load
}
