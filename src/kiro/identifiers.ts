import { createHash } from 'node:crypto'
import { UpstreamLimits } from './limits.ts'

const { toolNameChars: MAX_TOOL_NAME_CHARS, toolIdChars: MAX_TOOL_ID_CHARS } = UpstreamLimits

const HASH_CHARS = 8
const FORBIDDEN = /[^A-Za-z0-9_-]/g
const STARTS_WITH_LETTER = /^[A-Za-z]/

/** The name under which the upstream takes a tool (§4.10). Pure and idempotent. */
export function toWireToolName(name: string): string {
  const clean = cleanName(name)
  return clean.length > MAX_TOOL_NAME_CHARS ? toHashedToolName(name) : clean
}

/** The form that tells apart two names which clean-up made equal. `seed` is hashed, usually the name itself. */
export function toHashedToolName(name: string, seed = name): string {
  const kept = MAX_TOOL_NAME_CHARS - HASH_CHARS - 1
  return `${cleanName(name).slice(0, kept)}_${hashOf(seed)}`
}

/** The id under which the upstream takes a call and its result (§4.10); `''` stays `''`. Pure and idempotent. */
export function toWireToolId(id: string): string {
  const trimmed = id.trim()
  const clean = trimmed.replace(FORBIDDEN, '_')
  return clean.length > MAX_TOOL_ID_CHARS ? toHashedToolId(trimmed) : clean
}

/** The form that tells apart two ids which clean-up made equal. */
export function toHashedToolId(id: string): string {
  const trimmed = id.trim()
  const kept = MAX_TOOL_ID_CHARS - HASH_CHARS - 1
  return `${trimmed.replace(FORBIDDEN, '_').slice(0, kept)}_${hashOf(trimmed)}`
}

/** An id for the `index`th call without one. The same request always gets the same id, so prefixes stay cacheable. */
export function makeToolId(index: number): string {
  return `toolu_${sha256(`call ${index}`).slice(0, 24)}`
}

/** A UUID that is always the same for the same text: shaped like version 5 (RFC 9562), made of its SHA-256. */
export function uuidOf(text: string): string {
  const hex = sha256(text)
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16)
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `5${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32)
  ].join('-')
}

function cleanName(name: string): string {
  const clean = name.replace(FORBIDDEN, '_')
  return STARTS_WITH_LETTER.test(clean) ? clean : `t_${clean}`
}

function hashOf(text: string): string {
  return sha256(text).slice(0, HASH_CHARS)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
