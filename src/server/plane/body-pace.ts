import type { IncomingMessage } from 'node:http'

/**
 * Each chunk of a body costs a microsecond, however small it is, and libuv reads up to 2 MiB of one connection before it
 * looks at another. Whoever sends more chunks is read on in the next turn of the event loop.
 */
const MAX_CHUNKS_A_TURN = 256
/** A body of more chunks than that has so many bytes in each on average. The chunks of real clients have kilobytes. */
const MIN_COUNTED_CHUNKS = 4_096
const MIN_CHUNK_BYTES = 16

/** A body comes in chunks of so few bytes that reading it would cost others more than it can be worth to its client. */
export class BodyInCrumbs extends Error {
  readonly code = 'BODY_IN_CRUMBS'
}

/** Nothing more of its body is read; whoever was reading it has heard a `BodyInCrumbs`. */
export function isInCrumbs(request: IncomingMessage): boolean {
  return 'isInCrumbs' in request && request.isInCrumbs === true
}

/** How fast the chunks of one body are taken. */
export class BodyPace {
  #chunks = 0
  #bytes = 0
  #chunksInTurn = 0
  #state: 'steady' | 'held' | 'refused' = 'steady'

  get isRefused(): boolean {
    return this.#state === 'refused'
  }

  /** Not while it waits for the next turn of the event loop, nor ever once it is refused. */
  get mayRead(): boolean {
    return this.#state === 'steady'
  }

  /** What to do after one more chunk; calls `onNextTurn` to read on where it said `held`. `absurd` is said once. */
  note(bytes: number, onNextTurn: () => void): 'steady' | 'held' | 'absurd' | 'refused' {
    if (this.#state === 'refused') return 'refused'
    this.#chunks += 1
    this.#bytes += bytes
    if (this.#chunks > MIN_COUNTED_CHUNKS && this.#bytes < this.#chunks * MIN_CHUNK_BYTES) {
      this.#state = 'refused'
      return 'absurd'
    }
    if (this.#chunksInTurn++ === 0) this.#awaitTurn(onNextTurn)
    if (this.#chunksInTurn > MAX_CHUNKS_A_TURN) this.#state = 'held'
    return this.#state
  }

  #awaitTurn(onNextTurn: () => void): void {
    setImmediate(() => {
      this.#chunksInTurn = 0
      if (this.#state !== 'held') return
      this.#state = 'steady'
      onNextTurn()
    })
  }
}
