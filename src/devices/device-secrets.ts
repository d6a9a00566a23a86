import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { DEVICE_LIMITS } from './device-limits.ts'

/*
 * Everything that a device holds is signed with the secret of the sign-ins, so junk is told from former codes and
 * tokens without a list of them:
 *
 *   kgd_<expiry>.<random>.<signature>               device code
 *   kgr_<device>.<random>.<signature>               refresh token
 *   kgt_<expiry>.<device>.<key>.<signature>         access token
 *
 * An expiry is in seconds since the epoch, in base 36; what is random has 256 bits.
 */

const RANDOM_BYTES = 32
const DEVICE_ID_BYTES = 9
const BASE = 36

export const ACCESS_PREFIX = 'kgt_'

/** Id of the key that an access token of a gateway without keys names. */
export const OPEN_KEY = 'anyone'

export interface AccessFacts {
  /** Id of a named key, or `OPEN_KEY`. */
  readonly key: string
  readonly device: string
  /** Epoch ms. */
  readonly expiresAt: number
}

export function makeDeviceSecret(): string {
  return randomBytes(RANDOM_BYTES).toString('base64url')
}

export function makeDeviceId(): string {
  return randomBytes(DEVICE_ID_BYTES).toString('base64url')
}

/** `expiresAt` is epoch ms; the code tells it in whole seconds, rounded down. */
export function makeDeviceCode(secret: string, expiresAt: number): string {
  return signed(secret, `kgd_${textOf(expiresAt)}.${randomText()}`)
}

/** Returns the expiry of a device code of this gateway in epoch ms; `null` for any other text. */
export function readDeviceCode(secret: string, text: string): number | null {
  const [, seconds] = parse(secret, text, DEVICE_CODE) ?? []
  return seconds === undefined ? null : Number.parseInt(seconds, BASE) * 1000
}

export function makeRefreshToken(secret: string, device: string): string {
  return signed(secret, `kgr_${device}.${randomText()}`)
}

/** Returns the device of a refresh token that this gateway has made, whether used or not; `null` for any other text. */
export function readRefreshToken(secret: string, text: string): string | null {
  const [, device] = parse(secret, text, REFRESH_TOKEN) ?? []
  return device ?? null
}

/** Rounds the expiry down, so that `issuedAt()` is never later than it was. */
export function makeAccessToken(secret: string, { key, device, expiresAt }: AccessFacts): string {
  return signed(secret, `${ACCESS_PREFIX}${textOf(expiresAt)}.${device}.${key}`)
}

/** Returns what an access token of this gateway says, also after its expiry; `null` for any other text. */
export function readAccessToken(secret: string, text: string): AccessFacts | null {
  const [, seconds, device, key] = parse(secret, text, ACCESS_TOKEN) ?? []
  if (seconds === undefined || device === undefined || key === undefined) return null
  return { key, device, expiresAt: Number.parseInt(seconds, BASE) * 1000 }
}

/** Name under which a code or token is kept. It is random, so a plain hash cannot be searched. */
export function secretHash(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

/** When the token was issued, in epoch ms. */
export function issuedAt({ expiresAt }: Pick<AccessFacts, 'expiresAt'>): number {
  return expiresAt - DEVICE_LIMITS.accessMs
}

const DEVICE_CODE = /^kgd_([0-9a-z]{1,9})\.[\w-]{43}$/
const REFRESH_TOKEN = /^kgr_([\w-]{12})\.[\w-]{43}$/
const ACCESS_TOKEN = /^kgt_([0-9a-z]{1,9})\.([\w-]{12})\.([\w-]{1,64})$/
const MAX_CHARS = 200

/** Compares signatures in constant time. */
function parse(secret: string, text: string, form: RegExp): RegExpExecArray | null {
  if (text.length > MAX_CHARS) return null
  const at = text.lastIndexOf('.')
  const found = form.exec(text.slice(0, Math.max(0, at)))
  if (found === null) return null
  const given = Buffer.from(text.slice(at + 1))
  const own = Buffer.from(signatureOf(secret, found[0]))
  return given.length === own.length && timingSafeEqual(given, own) ? found : null
}

function signed(secret: string, text: string): string {
  return `${text}.${signatureOf(secret, text)}`
}

function signatureOf(secret: string, text: string): string {
  return createHmac('sha256', secret).update(text).digest('base64url')
}

function textOf(at: number): string {
  return Math.floor(at / 1000).toString(BASE)
}

function randomText(): string {
  return randomBytes(RANDOM_BYTES).toString('base64url')
}
