import { type Headers, parseHeaders } from './frame-headers.ts'

/** Longer blocks are not worth remembering: the usual three headers take about 90 bytes. */
const MAX_BLOCK_BYTES = 256
const MAX_ENTRIES = 8

/**
 * Parsed header blocks of one stream, by their bytes. A stream repeats a handful of blocks thousands
 * of times; comparing one costs 0.07 µs, parsing it 0.6 µs (`test/bench/frames.bench.ts`).
 *
 * Never holds more than `MAX_ENTRIES` blocks. Frames share what it returns.
 */
export class HeaderCache {
  readonly #byLength = new Map<number, { readonly block: Buffer; readonly headers: Headers }>()

  /**
   * Headers of the block from `start` to `end` of `bytes`.
   *
   * @throws {GatewayError} GW_FRAME_CORRUPT as `parseHeaders`.
   */
  get(bytes: Buffer, start: number, end: number): Headers {
    const known = this.#byLength.get(end - start)
    if (known !== undefined && bytes.compare(known.block, 0, end - start, start, end) === 0) {
      return known.headers
    }
    const headers = Object.freeze(parseHeaders(bytes.subarray(start, end)))
    this.#remember(bytes, start, end, headers)
    return headers
  }

  #remember(bytes: Buffer, start: number, end: number, headers: Headers): void {
    const length = end - start
    if (length > MAX_BLOCK_BYTES) return
    if (this.#byLength.size >= MAX_ENTRIES && !this.#byLength.has(length)) return
    this.#byLength.set(length, { block: Buffer.from(bytes.subarray(start, end)), headers })
  }
}
