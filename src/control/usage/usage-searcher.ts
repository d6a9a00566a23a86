import type { EventEmitter } from 'node:events'
import { Worker } from 'node:worker_threads'
import { GatewayError } from '../../shared/errors.ts'
import { compileCacheOnly } from '../book/usage-book.ts'
import type { FromSearcher, UsageFindings, UsageSearch } from './search-messages.ts'

export interface UsageSearcherOptions {
  /** File that has all that is recorded; `null` if nothing is. */
  readonly file: () => Promise<string | null>
  readonly idleMs?: number
  readonly timeoutMs?: number
  readonly startThread?: () => SearchThread
}

export type SearchThread = Pick<Worker, 'postMessage' | 'ref' | 'unref' | 'terminate'> &
  Pick<EventEmitter, 'on' | 'once' | 'off'>

/** A thread holds some 10 MB: it stays only while the panel is in use. */
const IDLE_MS = 30_000
/** A longer search means that the disk stands still. */
const TIMEOUT_MS = 10_000
const MAX_WAITING = 32
/** Threads that have been ended and still run: a call of SQLite on a standing disk cannot be interrupted. */
const MAX_ENDING = 2
const NO_ANSWER = 'the disk does not respond'
/** MiB */
const HEAP_MB = 32

/** Has questions about `usage.db` answered one after the other, by a thread that lives while there are some. */
export class UsageSearcher {
  readonly #options: UsageSearcherOptions
  #thread: SearchThread | null = null
  /** Bounded by MAX_ENDING. */
  readonly #ending = new Set<SearchThread>()
  #idle: NodeJS.Timeout | null = null
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #isClosed = false

  constructor(options: UsageSearcherOptions) {
    this.#options = options
  }

  /**
   * `null` if nothing is recorded.
   * @throws {GatewayError} GW_CONFLICT if the record cannot be read now, or too many ask
   */
  ask<Type extends UsageSearch['type']>(
    question: UsageSearch & { readonly type: Type }
  ): Promise<UsageFindings[Type] | null>
  async ask(question: UsageSearch): Promise<unknown> {
    if (this.#waiting >= MAX_WAITING) throw unreadable('too many ask at once')
    this.#waiting++
    const answer = this.#askAfter(this.#turn, question)
    this.#turn = answer.catch(() => {})
    try {
      return await answer
    } finally {
      this.#waiting--
    }
  }

  close(): void {
    this.#isClosed = true
    this.#end()
  }

  async #askAfter(before: Promise<unknown>, question: UsageSearch): Promise<unknown> {
    await before
    const path = await this.#options.file()
    if (path === null || this.#isClosed) return null
    this.#stayAwake()
    try {
      return await this.#askThread(path, question)
    } finally {
      this.#restLater()
    }
  }

  #askThread(path: string, question: UsageSearch): Promise<unknown> {
    const thread = (this.#thread ??= this.#startThread())
    return new Promise((resolve, reject) => {
      const fail = (reason: string): void => {
        if (this.#thread === thread) this.#end()
        stop()
        reject(unreadable(reason))
      }
      const onMessage = (message: FromSearcher): void => {
        stop()
        if ('found' in message) resolve(message.found)
        else reject(unreadable(message.failure))
      }
      const onError = (cause: Error): void => fail(cause.message)
      const onExit = (): void => fail('its thread has ended')
      const timeoutMs = this.#options.timeoutMs ?? TIMEOUT_MS
      const timer = setTimeout(() => fail(NO_ANSWER), timeoutMs)
      const stop = (): void => {
        clearTimeout(timer)
        thread.off('message', onMessage).off('error', onError).off('exit', onExit)
        thread.unref()
      }
      thread.ref()
      thread.on('message', onMessage).once('error', onError).once('exit', onExit)
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
      thread.postMessage({ path, question })
    })
  }

  /** @throws {GatewayError} GW_CONFLICT while ended threads have not exited: the disk stands still for them, too */
  #startThread(): SearchThread {
    if (this.#ending.size >= MAX_ENDING) throw unreadable(NO_ANSWER)
    const thread = (this.#options.startThread ?? startThread)()
    thread.on('exit', () => {
      if (this.#thread === thread) this.#thread = null // it died by itself
      this.#ending.delete(thread)
    })
    return thread
  }

  #stayAwake(): void {
    if (this.#idle !== null) clearTimeout(this.#idle)
    this.#idle = null
  }

  #restLater(): void {
    this.#stayAwake()
    this.#idle = setTimeout(() => this.#end(), this.#options.idleMs ?? IDLE_MS).unref()
  }

  #end(): void {
    this.#stayAwake()
    const thread = this.#thread
    if (thread === null) return
    this.#thread = null
    this.#ending.add(thread)
    void thread.terminate() // cannot reject
  }
}

function startThread(): Worker {
  const thread = new Worker(new URL('../../../workers/usage-search.ts', import.meta.url), {
    env: compileCacheOnly(),
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 2 }
  })
  thread.on('error', () => {}) // one that rests is replaced
  return thread
}

function unreadable(reason: string): GatewayError {
  const message = `The record of usage cannot be read now (usage.db: ${reason}). Try again shortly.`
  return new GatewayError('GW_CONFLICT', reason, { message })
}
