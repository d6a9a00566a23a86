import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import type { HostAddress } from './name-lookup.ts'

/** The rest of very long block lists is ignored. */
const MAX_BYTES = 256 * 1024

const SYSTEM_PATH =
  process.platform === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts'

type Entries = ReadonlyMap<string, readonly HostAddress[]>

/**
 * The machine's hosts file, read again after a change, since container engines write it while we run. Read
 * synchronously: a slow disk that fills the thread pool must not delay connections.
 */
export class HostsFile {
  readonly #path: string
  /** Bounded by MAX_BYTES. */
  #entries: Entries = new Map()
  #version = ''

  constructor(path = SYSTEM_PATH) {
    this.#path = path
  }

  find(name: string): readonly HostAddress[] | null {
    this.#refresh()
    return this.#entries.get(name) ?? null
  }

  /** An unreadable file counts as empty, as in the system's look-up. */
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
