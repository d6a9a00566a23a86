import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import type { HostAddress } from './name-lookup.ts'

/** Most bytes to read; the rest of the longest advertisement lists is ignored. */
const MAX_BYTES = 256 * 1024

const SYSTEM_PATH =
  process.platform === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts'

/** By name in lower case. */
type Entries = ReadonlyMap<string, readonly HostAddress[]>

/**
 * The names that this machine gives addresses by a file, which come before every name server. Read when it is first
 * asked and again once it has changed: container engines write it while we run.
 *
 * Read in one go, not through the thread pool: it is small, nearly always in the page cache, and a slow disk that fills
 * the pool with other files must not hold up new connections.
 */
export class HostsFile {
  readonly #path: string
  /** Bounded by MAX_BYTES. */
  #entries: Entries = new Map()
  #version = ''

  constructor(path = SYSTEM_PATH) {
    this.#path = path
  }

  /** The addresses of a name in lower case, in the file's order; `null` if the file says nothing of it. */
  find(name: string): readonly HostAddress[] | null {
    this.#refresh()
    return this.#entries.get(name) ?? null
  }

  /** Reads the file. An unreadable one holds no names, as for the system's own look-up. */
  #refresh(): void {
    const version = versionOf(this.#path)
    if (version === this.#version) return
    this.#version = version
    this.#entries = parseHosts(readBeginning(this.#path))
  }
}

function versionOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true })
  return stat === undefined ? '' : `${stat.ino} ${stat.size} ${stat.mtimeNs}`
}

function readBeginning(path: string): string {
  try {
    const file = openSync(path, 'r')
    try {
      const bytes = Buffer.alloc(Math.min(MAX_BYTES, fstatSync(file).size))
      return bytes.toString('latin1', 0, readSync(file, bytes))
    } finally {
      closeSync(file)
    }
  } catch {
    return ''
  }
}

/**
 * ```
 *   127.0.0.1   localhost box    # a comment
 *   ::1         localhost
 * ```
 */
export function parseHosts(text: string): Entries {
  const entries = new Map<string, HostAddress[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.split('#', 1).join('').trim().split(/\s+/)
    const family = isIP(address)
    if (family !== 4 && family !== 6) continue
    for (const name of names) {
      const key = name.toLowerCase()
      const addresses = entries.get(key)
      if (addresses === undefined) entries.set(key, [{ address, family }])
      else addresses.push({ address, family })
    }
  }
  return entries
}
