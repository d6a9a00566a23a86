import type { Redis } from 'ioredis'
import { operatorError, type GatewayError, messageOf } from '../shared/errors.ts'
import {
  boundReplies,
  clientOptions,
  countCommands,
  COMMAND_TIMEOUT_MS,
  listOf,
  pairsOf
} from './valkey-client.ts'
import { problemOfValkey, refusalOf } from './valkey-problems.ts'
import { BEAT_SCRIPT, CAS_SCRIPT, PROBE_SCRIPT, READ_SCRIPT } from './valkey-scripts.ts'
import type { Beat, BeatAnswer, CasAnswer, FleetReading, Proposal } from './fleet-store.ts'
import type { FleetRecords } from './fleet-records.ts'
import type { FleetSeal } from './fleet-seal.ts'
import { readState, type StateReading } from './fleet-state.ts'
import { isRecordNews, valkeyRecords } from './valkey-records.ts'

export interface ValkeyStoreOptions {
  readonly url: string
  readonly name: string
  /** Only holders of the secret can write a register. */
  readonly seal: Pick<FleetSeal, 'checks' | 'sign' | 'isSigned'>
  /** `FLEET_ENGINE_REPLICAS`: a beat counts only if this many replicas of Valkey have it. */
  readonly replicas: number
  readonly onRefused?: (error: GatewayError) => void
  readonly onConnection?: (news: { readonly isUp: boolean; readonly reason: string | null }) => void
}

/** Distinguishes registers from everything else that is signed. */
const SIGNED_FOR = 'register\n'

/**
 * Register in Valkey, or Redis from version 7. Two connections, since a listening one cannot ask. Nothing is queued
 * without a connection, or sent twice. A rejection means "unknown": the change may take effect now or later.
 */
export class ValkeyStore {
  readonly records: FleetRecords
  readonly counts = { commands: 0, failures: 0 }
  readonly #options: ValkeyStoreOptions
  readonly #commands: Redis
  readonly #news: Redis
  readonly #keys: readonly [ledger: string, beats: string, channel: string]
  #reason: string | null = null
  #isUp = false
  #isUnseen = false

  private constructor(options: ValkeyStoreOptions, client: typeof Redis) {
    this.#options = options
    const prefix = `{kiro:${options.name}}`
    this.#keys = [`${prefix}:ledger`, `${prefix}:beats`, `${prefix}:news`]
    this.#commands = new client(clientOptions(options.url, 'kiro-gateway'))
    this.#news = new client(clientOptions(options.url, 'kiro-gateway-news'))
    for (const one of [this.#commands, this.#news]) boundReplies(one)
    countCommands(this.#commands, this.counts)
    this.records = valkeyRecords({
      commands: this.#commands,
      news: this.#news,
      prefix,
      channel: this.#keys[2],
      replicas: options.replicas
    })
    for (const one of [this.#commands, this.#news]) {
      one.on('error', (cause: Error) => {
        this.#reason = cause.message
        this.#onLate(refusalOf(cause.message))
      })
    }
    this.#commands.on('ready', () => this.#note(true)).on('close', () => this.#note(false))
    this.#news.on('ready', () => void this.#listen())
  }

  /** Also resolves without a connection yet. @throws {GatewayError} GW_CONFIG_INVALID if waiting is useless */
  static async open(options: ValkeyStoreOptions): Promise<ValkeyStore> {
    const { Redis: client } = await import('ioredis')
    const store = new ValkeyStore(options, client)
    try {
      await store.#start()
    } catch (cause) {
      await store.close()
      throw cause
    }
    return store
  }

  get isUp(): boolean {
    return this.#isUp
  }

  async read(): Promise<FleetReading> {
    const [ledger, beats] = this.#keys
    return this.#toReading(await this.#commands.eval(READ_SCRIPT, 2, ledger, beats))
  }

  async cas({ run, rev, next, expects }: Proposal): Promise<CasAnswer> {
    const incs = Object.keys(next.members)
    const text = JSON.stringify(next)
    const signature = this.#options.seal.sign(SIGNED_FOR + text)
    const args = [run, rev, next.rev, next.era, text, signature, incs.length, ...incs]
    const expected = Object.entries(expects).flat()
    const answer = await this.#commands.eval(CAS_SCRIPT, 3, ...this.#keys, ...args, ...expected)
    const [isWritten, told] = listOf(answer)
    return { isWritten: isWritten === 1, reading: this.#toReading(told) }
  }

  async beat({ run, inc }: Beat): Promise<BeatAnswer> {
    const [ledger, beats] = this.#keys
    const { replicas } = this.#options
    const beaten = this.#commands.eval(BEAT_SCRIPT, 2, ledger, beats, run, inc)
    const copied = replicas === 0 ? 0 : this.#commands.wait(replicas, COMMAND_TIMEOUT_MS / 2)
    const [answer, copies] = await Promise.all([beaten, copied])
    const [answeredRun, rev, told, isKept] = listOf(answer)
    return {
      run: String(answeredRun),
      rev: Number(rev),
      beats: pairsOf(told),
      isKept: isKept === 1 && copies >= replicas
    }
  }

  /** `null`: news may have been missed. Returns the function that ends this. */
  onNews(listener: (rev: number | null) => void): () => void {
    const onMessage = (_channel: string, text: string): void => {
      if (isRecordNews(text)) return
      const rev = Number(text)
      listener(Number.isSafeInteger(rev) ? rev : null)
    }
    const onReady = (): void => listener(null) // something may have been said meanwhile
    this.#news.on('message', onMessage).on('ready', onReady)
    return () => void this.#news.off('message', onMessage).off('ready', onReady)
  }

  close(): Promise<void> {
    this.#commands.disconnect()
    this.#news.disconnect()
    return Promise.resolve()
  }

  async #start(): Promise<void> {
    try {
      await this.#commands.connect()
    } catch (cause) {
      const refusal = refusalOf(this.#reason ?? '') ?? refusalOf(messageOf(cause))
      if (refusal !== null) throw operatorError(refusal)
      this.#isUnseen = true
      this.#commands.once('ready', () => void this.#findProblem().then((one) => this.#onLate(one)))
      void this.#news.connect().catch(() => {}) // it goes on trying
      return
    }
    const problem = await this.#findProblem()
    if (problem !== null) throw operatorError(problem)
    if (this.#news.status === 'wait') void this.#news.connect().catch(() => {})
  }

  /** `null` also if it has just gone away. */
  async #findProblem(): Promise<string | null> {
    try {
      const { db } = this.#commands.options
      if (db !== undefined && db > 0) await this.#commands.select(db) // the client itself would go on without
      const [server, memory] = [
        await this.#commands.info('server'),
        await this.#commands.info('memory')
      ]
      const problem = problemOfValkey(server, memory)
      if (problem !== null) return problem
      await this.read()
      // Checks the rights to write without writing.
      const [ledger, beats, channel] = this.#keys
      await this.#commands.eval(CAS_SCRIPT, 3, ledger, beats, channel, '', -1, 0, '', '', '', 0)
      await this.#commands.eval(PROBE_SCRIPT, 1, `{kiro:${this.#options.name}}:record:probe`)
      await this.#commands.publish(channel, '0')
      if (this.#news.status === 'wait') await this.#news.connect()
      await this.#news.subscribe(channel)
      return null
    } catch (cause) {
      return refusalOf(messageOf(cause))
    }
  }

  #onLate(problem: string | null): void {
    if (problem === null || !this.#isUnseen) return
    this.#isUnseen = false
    this.#options.onRefused?.(operatorError(problem))
  }

  /** Called for each new connection. Until one listens, beats tell whether something was written. Never rejects. */
  async #listen(): Promise<void> {
    await this.#news.subscribe(this.#keys[2]).catch(() => {})
  }

  #note(isUp: boolean): void {
    if (isUp === this.#isUp) return
    this.#isUp = isUp
    this.#options.onConnection?.({ isUp, reason: isUp ? null : this.#reason })
    if (isUp) this.#reason = null
  }

  #toReading(answer: unknown): FleetReading {
    const [run, rev, told, state, signature] = listOf(answer)
    const text = typeof state === 'string' ? state : null
    const reading = this.#read(text, { rev: Number(rev), signature: String(signature) })
    return { run: String(run), rev: Number(rev), beats: pairsOf(told), reading }
  }

  /** A register without the secret's signature, or for another revision, counts as none. */
  #read(text: string | null, { rev, signature }: { rev: number; signature: string }): StateReading {
    const { seal } = this.#options
    const reading = readState(text, seal.checks)
    if (reading.type !== 'state') return reading
    const isOurs = reading.state.rev === rev && seal.isSigned(SIGNED_FOR + text, signature)
    return isOurs ? reading : { type: 'none' }
  }
}
