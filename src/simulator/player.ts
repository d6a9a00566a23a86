import type { ServerResponse } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AnswerEncoder } from './answer.ts'
import type { Step } from './script.ts'

/** A write of this size is sent before the next is built, so that others get their turn. */
const BATCH_BYTES = 64 * 1024

export interface Performance {
  readonly steps: Iterable<Step>
  readonly opening: 'head' | 'stall' | 'reset'
  readonly headDelayMs: number
  /** Between two frames; 0 sends everything in one write. */
  readonly gapMs: number
  readonly chunkBytes: number | undefined
}

export interface Stage {
  readonly response: ServerResponse
  readonly encoder: AnswerEncoder
  readonly signal: AbortSignal
}

/** Plays a script at the client's pace. Resolves when the answer has ended as the script wants, or the client left. */
export async function play(performance: Performance, stage: Stage): Promise<void> {
  const player = new Player(performance, stage)
  try {
    await player.open()
    for (const step of performance.steps) {
      const pending = player.act(step)
      if (pending !== undefined) await pending
    }
    await player.end()
  } catch (error) {
    if (!stage.signal.aborted) throw error
  }
}

class Player {
  readonly #performance: Performance
  readonly #stage: Stage
  #onGone: (() => void) | null = null
  #batch: Buffer[] = []
  #batchBytes = 0

  constructor(performance: Performance, stage: Stage) {
    this.#performance = performance
    this.#stage = stage
    stage.signal.addEventListener('abort', () => this.#onGone?.(), { once: true })
  }

  async open(): Promise<void> {
    const { opening, headDelayMs } = this.#performance
    if (headDelayMs > 0) await this.#sleep(headDelayMs)
    if (opening === 'reset') this.#stage.response.socket?.resetAndDestroy()
    if (opening !== 'head') await this.#untilGone()
  }

  act(step: Step): Promise<void> | undefined {
    switch (step.type) {
      case 'pause':
        return this.#pause(step.ms)
      case 'stall':
      case 'reset':
      case 'fin':
        return this.#breakOff(step.type)
      case 'event':
      case 'exception':
      case 'error':
      case 'bytes':
        break
    }
    return this.#send(this.#stage.encoder.encode(step))
  }

  async end(): Promise<void> {
    if (this.#performance.chunkBytes !== undefined) await this.#flush()
    const bytes = this.#takeBatch()
    if (bytes.length > 0) this.#stage.response.end(bytes)
    else this.#stage.response.end()
  }

  #send(bytes: Buffer): Promise<void> | undefined {
    this.#batch.push(bytes)
    this.#batchBytes += bytes.length
    if (this.#performance.gapMs > 0) return this.#pause(this.#performance.gapMs)
    return this.#batchBytes >= BATCH_BYTES ? this.#giveWay() : undefined
  }

  /** A fast client takes every write at once and would leave no turn to others. */
  async #giveWay(): Promise<void> {
    await this.#flush()
    await nextTurn()
  }

  async #pause(ms: number): Promise<void> {
    await this.#flush()
    if (ms > 0) await this.#sleep(ms)
  }

  /** Sends what there is, then never resolves: see `#untilGone`. */
  async #breakOff(how: 'stall' | 'reset' | 'fin'): Promise<void> {
    await this.#flush()
    const { socket } = this.#stage.response
    if (how === 'reset') socket?.resetAndDestroy()
    if (how === 'fin') socket?.end()
    await this.#untilGone()
  }

  async #flush(): Promise<void> {
    const bytes = this.#takeBatch()
    const { response } = this.#stage
    if (bytes.length === 0) response.flushHeaders()
    for (const piece of piecesOf(bytes, this.#performance.chunkBytes)) {
      await this.#wait((resolve) => {
        // Fails only with the connection, perhaps before the signal fires.
        response.write(piece, (error) => {
          if (!error) resolve()
        })
      })
    }
  }

  #takeBatch(): Buffer {
    const [first] = this.#batch
    const bytes = this.#batch.length === 1 && first ? first : Buffer.concat(this.#batch)
    this.#batch = []
    this.#batchBytes = 0
    return bytes
  }

  async #sleep(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    try {
      await this.#wait((resolve) => {
        timer = setTimeout(resolve, ms)
      })
    } finally {
      clearTimeout(timer)
    }
  }

  /** Never resolves; rejects when the connection is gone. */
  #untilGone(): Promise<void> {
    return this.#wait(() => {})
  }

  async #wait(start: (resolve: () => void) => void) {
    const { signal } = this.#stage
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#onGone = () => reject(signal.reason)
    start(resolve)
    await promise
    this.#onGone = null
  }
}

function piecesOf(bytes: Buffer, size: number | undefined): readonly Buffer[] {
  if (bytes.length === 0) return []
  if (size === undefined || size < 1) return [bytes]
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size)
  )
}
