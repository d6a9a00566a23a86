import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { codeOf, type GatewayError } from '../shared/errors.ts'
import { parseJsonObject, type JsonObject } from '../shared/json.ts'
import { configInvalid } from './load.ts'

/** Settings of Claude Code that an operator gives to everyone who is signed in here (`MANAGED_SETTINGS_FILE`). */
export interface ManagedSettings {
  /** Checksum as Claude Code computes it of what it holds; it asks with it in `if-none-match`. */
  readonly checksum: string
  /** `{"uuid","checksum","settings"}`, as it is sent. */
  readonly body: string
}

const SETTING = 'MANAGED_SETTINGS_FILE'
/** A policy has some KB; each worker holds it. */
const MAX_BYTES = 256 * 1024

/** @throws {GatewayError} GW_CONFIG_INVALID for a file that cannot be used */
export function readManagedSettings(path: string) {
  try {
    const settings = parsed(textOf(path), path)
    return { managed: toManaged(settings), warnings: warningsOf(settings, path) }
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw refused(path, 'is nested too deeply', cause)
  }
}

function parsed(text: string, path: string): JsonObject {
  if (Buffer.byteLength(text) > MAX_BYTES) {
    throw refused(path, `has more than ${MAX_BYTES} bytes. Use a smaller file`)
  }
  const settings = parseJsonObject(text)
  if (settings === null) throw refused(path, 'is not a JSON object')
  return settings
}

function textOf(path: string): string {
  try {
    return readSmallFile(path)
  } catch (cause) {
    throw refused(path, `cannot be read (${codeOf(cause) || String(cause)})`, cause)
  }
}

function refused(path: string, problem: string, cause?: unknown): GatewayError {
  return configInvalid([`${SETTING}: ${path} ${problem}.`], cause)
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
  return digest.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-8$3-8$4-$5')
}
