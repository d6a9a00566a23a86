import type { Redis } from 'ioredis'
import { COMMAND_TIMEOUT_MS, listOf } from './valkey-client.ts'
import { RECORD_CAS_SCRIPT, RECORD_READ_SCRIPT } from './valkey-scripts.ts'
import { type FleetRecord, type FleetRecords, MAX_RECORD_LENGTH } from './fleet-records.ts'

export interface ValkeyRecordsOptions {
  readonly commands: Redis
  readonly news: Redis
  readonly prefix: string
  readonly channel: string
  /** `FLEET_ENGINE_REPLICAS`: a change counts only if this many replicas of Valkey have it. */
  readonly replicas: number
}

/** Prefix of record names on the channel, where the ledger sends numbers. */
const RECORD_NEWS = 'record '

export function valkeyRecords(options: ValkeyRecordsOptions): FleetRecords {
  const { commands, news, prefix, channel, replicas } = options
  const keyOf = (name: string): string => `${prefix}:record:${name}`
  return {
    async read(name) {
      return toRecord(await commands.eval(RECORD_READ_SCRIPT, 1, keyOf(name), MAX_RECORD_LENGTH))
    },

    async cas(name, { rev, value, ttlMs, isQuiet = false }) {
      if (value !== null && value.length > MAX_RECORD_LENGTH) {
        throw new RangeError(`the record "${name}" is longer than ${MAX_RECORD_LENGTH} characters`)
      }
      const change = value === null ? ['delete', ''] : ['set', value]
      const message = isQuiet ? '' : RECORD_NEWS + name
      const args = [MAX_RECORD_LENGTH, rev, ...change, Math.ceil(ttlMs ?? 0), message]
      const written = commands.eval(RECORD_CAS_SCRIPT, 2, keyOf(name), channel, ...args)
      const copied = replicas === 0 ? 0 : commands.wait(replicas, COMMAND_TIMEOUT_MS / 2)
      const [answer, copies] = await Promise.all([written, copied])
      const [isWritten, record] = listOf(answer)
      if (isWritten === 1 && copies < replicas) {
        throw new Error(`only ${copies} of FLEET_ENGINE_REPLICAS have the record "${name}"`)
      }
      const told = toRecord(record)
      // A value just written is not sent back.
      return isWritten === 1
        ? { isWritten: true, record: { ...told, value } }
        : { isWritten: false, record: told }
    },

    onNews(listener) {
      const onMessage = (_channel: string, text: string): void => {
        if (text.startsWith(RECORD_NEWS)) listener(text.slice(RECORD_NEWS.length))
      }
      const onReady = (): void => {
        // News may have been missed until it listens again. If that fails, it reconnects.
        const listening = news.subscribe(channel)
        void listening.then(() => listener(null)).catch(() => news.disconnect(true))
      }
      news.on('message', onMessage).on('ready', onReady)
      return () => void news.off('message', onMessage).off('ready', onReady)
    }
  }
}

export function isRecordNews(text: string): boolean {
  return text.startsWith(RECORD_NEWS)
}

function toRecord(answer: unknown): FleetRecord {
  const [run, rev, value, age] = listOf(answer)
  return {
    run: String(run),
    rev: Number(rev) || 0,
    value: typeof value === 'string' ? value : null,
    ageMs: Math.max(0, Number(age) || 0)
  }
}
