import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import type { HostAddress } from './name-lookup.ts'

/** The rest of very long block lists is ignored. */
const MAX_BYTES = 256 * 1024

const SYSTEM_PATH =
  process.platform === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts'

type Entries = ReadonlyMap<string, readonly HostAddress[]>

/** Returns the addresses of a name in a hosts file; `null` if it has none. */
export type HostsSearch = (name: string) => readonly HostAddress[] | null

/**
 * Searches the machine's hosts file, which is read again after a change, since container engines write it while we run.
 * Read synchronously: a slow disk that fills the thread pool must not delay connections. An unreadable file counts as
 * empty, as in the system's look-up.
 */
export function hostsSearch(path = SYSTEM_PATH): HostsSearch {
  let entries: Entries = new Map() // bounded by MAX_BYTES
  let version = ''
  return (name) => {
    const current = versionOf(path)
    if (current !== version) entries = parseHosts(readBeginning(path))
    version = current
    return entries.get(name) ?? null
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
