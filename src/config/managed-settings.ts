import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { codeOf } from '../shared/errors.ts'
import { parseJsonObject, type JsonObject } from '../shared/json.ts'

/** Settings of Claude Code that an operator gives to everyone who is signed in here (`MANAGED_SETTINGS_FILE`). */
export interface ManagedSettings {
  /** Checksum as Claude Code computes it of what it holds; it asks with it in `if-none-match`. */
  readonly checksum: string
  /** `{"uuid","checksum","settings"}`, as it is sent. */
  readonly body: string
}

export interface ReadManagedSettings {
  /** `null` beside a problem. */
  readonly managed: ManagedSettings | null
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

const SETTING = 'MANAGED_SETTINGS_FILE'
/** A policy has some KB; each worker holds it. */
const MAX_BYTES = 256 * 1024

export function readManagedSettings(path: string): ReadManagedSettings {
  let text: string
  try {
    text = readSmallFile(path)
  } catch (cause) {
    return problem(`${SETTING}: ${path} cannot be read (${codeOf(cause) || String(cause)}).`)
  }
  if (Buffer.byteLength(text) > MAX_BYTES) {
    return problem(`${SETTING}: ${path} has more than ${MAX_BYTES} bytes. Use a smaller file.`)
  }
  try {
    const settings = parseJsonObject(text)
    if (settings === null) return problem(`${SETTING}: ${path} is not a JSON object.`)
    return { managed: toManaged(settings), problems: [], warnings: warningsOf(settings, path) }
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    return problem(`${SETTING}: ${path} is nested too deeply.`)
  }
}

function problem(sentence: string): ReadManagedSettings {
  return { managed: null, problems: [sentence], warnings: [] }
}

/** Reads no more than can be used, also of a device, and never waits for the writer of a pipe. */
function readSmallFile(path: string): string {
  const { O_RDONLY, O_NONBLOCK } = constants
  const file = openSync(path, O_RDONLY | (O_NONBLOCK ?? 0)) // Windows has none
  try {
    const facts = fstatSync(file)
    if (!facts.isFile()) throw new Error('it is not a file')
    if (facts.size > MAX_BYTES) return ' '.repeat(MAX_BYTES + 1)
    return readFileSync(file, 'utf8').replace(/^\uFEFF/, '')
  } finally {
    closeSync(file)
  }
}

/** Claude Code lets a person approve variables before they take effect, and ends if they decline. */
function warningsOf({ env }: JsonObject, path: string): readonly string[] {
  if (env === undefined) return []
  return [
    `${SETTING}: ${path} sets "env", so Claude Code asks each person to approve it, and ends if they decline.`
  ]
}

function toManaged(settings: JsonObject): ManagedSettings {
  const digest = createHash('sha256')
    .update(JSON.stringify(sorted(settings)))
    .digest('hex')
  const checksum = `sha256:${digest}`
  const body = JSON.stringify({ uuid: uuidOf(digest), checksum, settings })
  return { checksum, body }
}

/** Keys sorted on every level. Numbers as names come first in any object, here and in the client. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const inner = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(inner.map(([name, one]) => [name, sorted(one)]))
}

/** Derives a UUID from the settings' digest, so that all gateways of a fleet tell the same one (RFC 9562 §5.8). */
function uuidOf(digest: string): string {
  const [a, b, c, d, e] = [
    digest.slice(0, 8),
    digest.slice(8, 12),
    digest.slice(13, 16),
    digest.slice(17, 20),
    digest.slice(20, 32)
  ]
  return `${a}-${b}-8${c}-8${d}-${e}`
}
