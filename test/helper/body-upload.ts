import { setTimeout as delay } from 'node:timers/promises'
import { wordsOf } from './own-words.ts'
import { headOf, type RawAnswer, RawConnection } from './raw-connection.ts'

export const GENERATIONS = ['/v1/chat/completions', '/v1/responses', '/v1/messages'] as const
/** What is answered without the upstream. */
export const LOCAL = [
  '/v1/messages/count_tokens',
  '/v1/responses/input_tokens',
  '/v1/lint'
] as const
export type UploadPath = (typeof GENERATIONS | typeof LOCAL)[number]

/** Ways to cut a body into pieces; `chunked` has no declared length. */
export const CUTS = ['whole', 'two', 'many', 'small', 'chunked'] as const
export type Cut = (typeof CUTS)[number]

/** A request whose body is sent in a certain way. */
export interface Upload {
  readonly id: string
  readonly path: UploadPath | '/dashboard/session'
  readonly cut: Cut
  /** All of it is sent before it is wanted, or half of it. */
  readonly isEarly: boolean
  readonly body: Buffer
  /** What its client says, as the upstream must see it. */
  readonly text: string
  /** It is too short to be a request. */
  readonly isRefused: boolean
}

let uploads = 0

/** Makes one whose body has exactly this many bytes; each word of it says whose it is, and which. */
export function uploadOf(
  terms: Pick<Upload, 'cut' | 'isEarly'> & { readonly path: UploadPath; readonly bytes: number }
): Upload {
  const { path, bytes } = terms
  const id = `upload-${++uploads}`
  const room = bytes - wrap(path, '').length
  const word = wordsOf(id, 1)
  const isRefused = room < word.length
  const count = isRefused ? 0 : Math.ceil(room / word.length)
  const words = Array.from({ length: count }, (_, index) => `${word}${index} `).join('')
  const text = isRefused ? '' : `${words.slice(0, room - 1)}.`
  const body = Buffer.from(isRefused ? '7'.repeat(bytes) : wrap(path, text))
  if (body.byteLength !== bytes) throw new Error(`${body.byteLength} bytes instead of ${bytes}`)
  return { ...terms, id, body, text, isRefused }
}

function wrap(path: UploadPath, text: string): string {
  if (path === '/v1/lint' || path.startsWith('/v1/responses'))
    return JSON.stringify({ model: 'auto', input: text, store: false })
  return JSON.stringify({
    model: 'auto',
    max_tokens: 9,
    messages: [{ role: 'user', content: text }]
  })
}

const MANY = 7
const SMALL_BYTES = 1_460
const CHUNKS = 5
/** So that pieces are read one by one; of more than so many, those behind follow at once. */
const PAUSE_MS = 2
const MAX_PAUSES = 20
/** What has not been taken by then is taken once it is wanted. */
const BEFORE_MS = 150

/** Sends one upload on a connection of its own. */
export class Sender {
  readonly upload: Upload
  readonly #connection: RawConnection
  readonly #rest: readonly Uint8Array[]
  readonly #begun: Promise<void>
  /** Answers on this connection before its own. */
  readonly #before: number

  private constructor(upload: Upload, connection: RawConnection, isSecond: boolean, head: string) {
    this.upload = upload
    this.#connection = connection
    this.#before = isSecond ? 1 : 0
    const pieces = piecesOf(upload.body, upload.cut)
    const early = upload.isEarly ? pieces.length : Math.floor(pieces.length / 2)
    const [first = Buffer.alloc(0), ...others] = pieces.slice(0, early)
    this.#rest = pieces.slice(early)
    this.#begun = send(connection, [Buffer.concat([Buffer.from(head), first]), ...others])
  }

  /** Resolves when what comes before it is wanted has been sent; behind `first`, if there is another request before it. */
  static async begin(
    url: string,
    {
      upload,
      key,
      first = ''
    }: { readonly upload: Upload; readonly key: string; readonly first?: string }
  ): Promise<Sender> {
    const { path, cut, body, id } = upload
    const length =
      cut === 'chunked' ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.byteLength }
    const head = headOf(path, {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'x-request-id': id,
      ...length
    })
    const connection = await RawConnection.open(url)
    const sender = new Sender(upload, connection, first !== '', first + head)
    await Promise.race([sender.#begun, delay(BEFORE_MS)])
    return sender
  }

  /** Sends the rest. Resolves with the answer. */
  async end(): Promise<RawAnswer> {
    const sent = this.#begun.then(() => send(this.#connection, this.#rest))
    for (let at = 0; at < this.#before; at++) await this.#connection.answer()
    const answer = await this.#connection.answer()
    await sent
    this.#connection.close()
    return answer
  }
}

async function send(connection: RawConnection, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) {
    await connection.send(piece)
    if (pieces.length <= MAX_PAUSES) await delay(PAUSE_MS)
  }
}

function piecesOf(body: Buffer, cut: Cut): readonly Uint8Array[] {
  switch (cut) {
    case 'whole':
      return [body]
    case 'two':
      return inPieces(body, body.byteLength / 2)
    case 'many':
      return inPieces(body, body.byteLength / MANY)
    case 'small':
      return inPieces(body, SMALL_BYTES)
    case 'chunked':
      return [...inPieces(body, body.byteLength / CHUNKS).map(toChunk), Buffer.from('0\r\n\r\n')]
  }
}

function inPieces(body: Buffer, bytes: number): readonly Buffer[] {
  const step = Math.ceil(bytes)
  const count = Math.ceil(body.byteLength / step)
  return Array.from({ length: count }, (_, at) => body.subarray(at * step, (at + 1) * step))
}

function toChunk(piece: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`${piece.byteLength.toString(16)}\r\n`),
    piece,
    Buffer.from('\r\n')
  ])
}
