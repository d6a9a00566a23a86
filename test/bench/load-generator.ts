import { setTimeout as delay } from 'node:timers/promises'
import { Pool } from 'undici'
import { type ConversationName, type Wording, writeConversation } from './conversation.ts'
import { serve } from '../helper/subprocess.ts'

/** Asks and listens, in a process of its own, so that its work is not taken for that of what is measured. */

export interface Load {
  /** Origin to ask; its connections are kept from one load to the next. */
  readonly url: string
  readonly conversation: ConversationName
  /** Requests in flight at a time. */
  readonly streams: number
  /** In all. */
  readonly requests: number
  /** Each request waits a random time up to this before it is sent. */
  readonly thinkMs?: number
  /** Opens connections of its own, and closes them afterwards. */
  readonly isFresh?: boolean
  /** API key that each request brings. */
  readonly key?: string
  /** How a whole answer ends, or what stands near its end; else it must have as many bytes as the upstream's. */
  readonly answer:
    | { readonly tail: string }
    | { readonly mark: string }
    | { readonly bytes: number }
  /** Of another gateway; ours is asked for Chat Completions. */
  readonly wording?: Wording
}

export interface LoadResult {
  /** From sending a request to the first byte of its answer's body. */
  readonly firstByteMs: readonly number[]
  readonly wallMs: number
}

const pools = new Map<string, Pool>()
const bodies = { short: writeConversation('short'), long: writeConversation('long') }

serve(async (load: Load): Promise<LoadResult> => {
  const startedAt = performance.now()
  const firstByteMs: number[] = []
  let left = load.requests
  const pool = load.isFresh === true ? newPool(load.url) : poolOf(load.url)
  const lanes = Array.from({ length: load.streams }, async () => {
    while (left-- > 0) {
      if (load.thinkMs !== undefined) await delay(Math.random() * load.thinkMs)
      firstByteMs.push(await ask(load, pool))
    }
  })
  await Promise.all(lanes)
  if (load.isFresh === true) await pool.close()
  return { firstByteMs, wallMs: performance.now() - startedAt }
})

/** Resolves with the time to the first byte, once the answer is whole. */
function ask({ conversation, answer, key, wording }: Load, pool: Pool): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const sentAt = performance.now()
  let firstByteMs = 0
  let status = 0
  let bytes = 0
  let last: Buffer = Buffer.alloc(0)
  pool.dispatch(
    {
      path: wording?.dialect === 'messages' ? '/v1/messages' : '/v1/chat/completions',
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(wording?.dialect === 'messages' && { 'anthropic-version': '2023-06-01' })
      },
      body: wording === undefined ? bodies[conversation] : bodyFor(conversation, wording)
    },
    {
      onRequestStart: () => {},
      onResponseStart: (_controller, code) => {
        status = code
      },
      onResponseData: (_controller, chunk) => {
        if (bytes === 0) firstByteMs = performance.now() - sentAt
        bytes += chunk.length
        last = chunk
      },
      onResponseEnd: () => {
        const isWhole = isWholeWith(answer, last, bytes)
        if (status === 200 && isWhole) resolve(firstByteMs)
        else
          reject(
            new Error(`${status}, ${bytes} bytes, ending in ${last.subarray(-200).toString()}`)
          )
      },
      onResponseError: (_controller, error) => reject(error)
    }
  )
  return promise
}

const worded = new Map<string, Buffer>()

function bodyFor(conversation: ConversationName, wording: Wording): Buffer {
  const name = JSON.stringify([conversation, wording])
  const body = worded.get(name) ?? writeConversation(conversation, wording)
  worded.set(name, body)
  return body
}

function isWholeWith(answer: Load['answer'], last: Buffer, bytes: number): boolean {
  if ('tail' in answer) return endsWith(last, answer.tail)
  return 'mark' in answer ? last.includes(answer.mark) : bytes === answer.bytes
}

/** A tail that is cut between two chunks shows its second half only; that is proof enough here. */
function endsWith(chunk: Buffer, tail: string): boolean {
  const length = Math.min(chunk.length, tail.length)
  return length > 0 && chunk.subarray(-length).toString() === tail.slice(-length)
}

function poolOf(url: string): Pool {
  const known = pools.get(url)
  if (known !== undefined) return known
  const pool = newPool(url)
  pools.set(url, pool)
  return pool
}

function newPool(url: string): Pool {
  return new Pool(url, { connections: 512, pipelining: 1, allowH2: false, bodyTimeout: 0 })
}
