import { randomUUID } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** What is constant in the events of one answer, around its text as a JSON string. */
interface Wording {
  readonly start: string
  readonly before: string
  readonly after: string
  readonly end: string
}

const FrameOverheadBytes = 16
const PreludeBytes = 12
const ChecksumBytes = 4

/**
 * The translating pipe's part of an answer, written as plainly as it can be: a loop cuts frames and compares the checksum
 * of each, `JSON.parse` reads their text, and what a chunk completes is written in one piece. It knows text alone, keeps
 * no count, and trusts lengths: not for use outside the bench.
 */
export class PlainTranslation {
  readonly #wording: Wording
  readonly #isStrict: boolean
  #rest: Buffer | null = null
  #hasStarted = false

  /** `path` tells the dialect; with `isStrict` both checksums of a frame count, and what its headers say. */
  constructor(path: string, isStrict = false) {
    this.#wording = wordingOf(path)
    this.#isStrict = isStrict
  }

  /** Events of the frames that `chunk` completes. Throws if one is damaged. */
  push(chunk: Buffer): string {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    let events = ''
    while (bytes.length - at >= FrameOverheadBytes) {
      const end = at + bytes.readUInt32BE(at)
      if (end > bytes.length) break
      const checksumAt = end - ChecksumBytes
      if (crc32(bytes.subarray(at, checksumAt)) !== bytes.readUInt32BE(checksumAt)) {
        throw new Error('a frame is damaged')
      }
      const payloadAt = at + PreludeBytes + bytes.readUInt32BE(at + 4)
      if (this.#isStrict) checkHead(bytes, at, payloadAt)
      events += this.#write(JSON.parse(bytes.toString('utf8', payloadAt, checksumAt)))
      at = end
    }
    this.#rest = at === bytes.length ? null : bytes.subarray(at)
    return events
  }

  end(): string {
    return this.#wording.end
  }

  #write({ content }: { readonly content?: string }): string {
    if (content === undefined) return ''
    const { start, before, after } = this.#wording
    const event = before + JSON.stringify(content) + after
    if (this.#hasStarted) return event
    this.#hasStarted = true
    return start + event
  }
}

/** Of the frame at `at`, whose payload begins at `payloadAt`. Throws. */
function checkHead(bytes: Buffer, at: number, payloadAt: number): void {
  const checksumAt = at + PreludeBytes - ChecksumBytes
  if (crc32(bytes.subarray(at, checksumAt)) !== bytes.readUInt32BE(checksumAt)) {
    throw new Error('a prelude is damaged')
  }
  const headers = bytes.toString('latin1', at + PreludeBytes, payloadAt)
  if (!headers.includes('event')) throw new Error('the upstream has failed')
}

/** The upstream's refusals are passed on as they are. */
export function contentTypeOf(status: number): string {
  return status === 200 ? 'text/event-stream' : 'application/json'
}

function wordingOf(path: string): Wording {
  if (path.startsWith('/v1/messages')) return messages(`msg_${randomUUID()}`)
  if (path.startsWith('/v1/responses')) return responses(`resp_${randomUUID()}`)
  return chatCompletions(`chatcmpl-${randomUUID()}`)
}

function chatCompletions(id: string): Wording {
  const created = Math.floor(Date.now() / 1000)
  const head = `data: {"id":"${id}","object":"chat.completion.chunk","created":${created},"model":"claude-haiku-4.5","choices":[{"index":0,"delta":`
  return {
    start: `${head}{"role":"assistant","content":""},"finish_reason":null}]}\n\n`,
    before: `${head}{"content":`,
    after: '},"finish_reason":null}]}\n\n',
    end: `${head}{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`
  }
}

function messages(id: string): Wording {
  return {
    start:
      event('message_start', {
        message: { id, type: 'message', role: 'assistant', content: [], usage: {} }
      }) + event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    before:
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":',
    after: '}}\n\n',
    end:
      event('content_block_stop', { index: 0 }) +
      event('message_delta', { delta: { stop_reason: 'end_turn' }, usage: {} }) +
      event('message_stop', {})
  }
}

function responses(id: string): Wording {
  const item = { id: `msg_${id}`, type: 'message', role: 'assistant', content: [] }
  return {
    start:
      event('response.created', { response: { id, status: 'in_progress' } }) +
      event('response.output_item.added', { output_index: 0, item }),
    before: `event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"${item.id}","output_index":0,"content_index":0,"delta":`,
    after: '}\n\n',
    end: event('response.completed', { response: { id, status: 'completed' } })
  }
}

function event(type: string, fields: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
}
