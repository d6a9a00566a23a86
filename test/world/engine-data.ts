import { createHash } from 'node:crypto'
import { SCRIPTS } from './engine-scripts.ts'

/** What a command of RESP 2 is answered with. */
export type Reply =
  | number
  | string
  | null
  | { readonly status: string }
  | { readonly error: string }
  | readonly Reply[]

/** A hash in Valkey; a fleet keeps nothing else there. */
interface Entry {
  readonly fields: Map<string, string>
  /** By Valkey's clock; `null` for ever. */
  expiresAt: number | null
}

/** All that a process of Valkey would find on its disk. */
export type EngineSnapshot = ReadonlyMap<string, Entry>

export interface EngineDataOptions {
  /** Ms by Valkey's clock on the wall. */
  readonly now: () => number
  /** Called for each message, in order. */
  readonly onPublish: (channel: string, message: string) => void
}

/** Valkey without its sockets: the hashes that a fleet keeps, and the scripts that it calls on them. */
export class EngineData {
  readonly #options: EngineDataOptions
  #entries = new Map<string, Entry>()
  /** Tells one process of Valkey from another. */
  #run: string

  constructor(run: string, options: EngineDataOptions) {
    this.#run = run
    this.#options = options
  }

  get run(): string {
    return this.#run
  }

  now(): number {
    return this.#options.now()
  }

  snapshot(): EngineSnapshot {
    return copyOf(this.#entries)
  }

  /** Another process begins with what its disk has. */
  begin(run: string, found: EngineSnapshot): void {
    this.#run = run
    this.#entries = copyOf(found)
  }

  /** As FLUSHALL: the process goes on. */
  flush(): void {
    this.#entries.clear()
  }

  call([name = '', ...args]: readonly string[]): Reply {
    switch (name.toLowerCase()) {
      case 'ping':
        return { status: 'PONG' }
      case 'info':
        return args[0] === 'memory' ? INFO_MEMORY : `${INFO_SERVER}run_id:${this.#run}\r\n`
      case 'eval':
        return this.#eval(args)
      case 'publish':
        this.publish(args[0] ?? '', args[1] ?? '')
        return 0
      case 'wait':
        return 0
      case 'select':
      case 'client':
        return { status: 'OK' }
      default:
        return { error: `ERR unknown command '${name}'` }
    }
  }

  #eval([text = '', count = '0', ...rest]: readonly string[]): Reply {
    const digest = digestOf(text)
    const script = SCRIPTS[digest]
    // The world would have to know what a changed script does.
    if (script === undefined) throw new Error(`no script of the world has the digest ${digest}`)
    const keys = rest.slice(0, Number(count))
    return script(this, keys, rest.slice(Number(count)))
  }

  publish(channel: string, message: string): void {
    this.#options.onPublish(channel, message)
  }

  get(key: string, field: string): string | null {
    return this.#find(key)?.get(field) ?? null
  }

  set(key: string, fields: Readonly<Record<string, string>>): void {
    const found = this.#find(key) ?? new Map<string, string>()
    for (const [field, value] of Object.entries(fields)) found.set(field, value)
    const expiresAt = this.#entries.get(key)?.expiresAt ?? null
    this.#entries.set(key, { fields: found, expiresAt })
  }

  fields(key: string): readonly (readonly [string, string])[] {
    return [...(this.#find(key) ?? [])]
  }

  /** A hash without fields is none. */
  remove(key: string, field: string): void {
    const found = this.#find(key)
    found?.delete(field)
    if (found?.size === 0) this.drop(key)
  }

  drop(key: string): void {
    this.#entries.delete(key)
  }

  /** `null`: it stays for ever. */
  expire(key: string, ms: number | null): void {
    const entry = this.#entries.get(key)
    if (entry !== undefined) entry.expiresAt = ms === null ? null : this.now() + ms
  }

  #find(key: string): Map<string, string> | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.expiresAt === null || entry.expiresAt > this.now()) return entry.fields
    this.drop(key)
    return undefined
  }
}

const INFO_SERVER = 'redis_version:7.2.4\r\nredis_mode:standalone\r\n'
const INFO_MEMORY = 'maxmemory_policy:noeviction\r\n'
const DIGEST_CHARS = 16

/** What a script is known by: a change of its text makes another one of it. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_CHARS)
}

function copyOf(entries: EngineSnapshot): Map<string, Entry> {
  return new Map(
    [...entries].map(([key, { fields, expiresAt }]) => [
      key,
      { fields: new Map(fields), expiresAt }
    ])
  )
}
