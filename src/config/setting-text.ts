import { Check } from 'typebox/schema'
import type { Setting, SettingKind } from './setting.ts'
import { type Config, Settings } from './settings.ts'

export interface ListedSetting {
  readonly group: string
  readonly name: string
  readonly setting: Setting<unknown>
}

export function listSettings(): readonly ListedSetting[] {
  return Object.entries(Settings.properties).flatMap(([group, { properties }]) =>
    Object.entries<Setting<unknown>>(properties).map(([name, setting]) => ({
      group,
      name,
      setting
    }))
  )
}

/** Value of a listed setting, in the unit of the config. */
export function settingValue(config: Config, group: string, name: string): unknown {
  return Reflect.get(Reflect.get(config, group), name)
}

/** Value in the unit of the config; `undefined` if not allowed. */
export function readSetting(setting: Setting<unknown>, text: string): unknown {
  const { nullWord } = setting
  if (nullWord !== undefined && text.toLowerCase() === nullWord) return null
  const value = KINDS[setting.kind].parse(text, setting)
  return value !== undefined && Check(setting, value) ? value : undefined
}

/** Second half of "SERVER_PORT is "x". Allowed: …". */
export function describeAllowed(setting: Setting<unknown>): string {
  const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER, nullWord } = setting
  const range = `from ${writeSetting(setting, minimum)} to ${writeSetting(setting, maximum)}`
  const allowed = setting.allowed ?? KINDS[setting.kind].describe(range, setting)
  return nullWord === undefined ? allowed : `${allowed}, or ${nullWord}`
}

/** Value in the form of `.env`; empty if left out by default. */
export function writeSetting(setting: Setting<unknown>, value: unknown): string {
  if (value === null) return setting.nullWord ?? ''
  if (typeof value === 'string' || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return writeNumber(setting, value)
  const items = Array.isArray(value)
    ? value
    : Object.entries(value ?? {}).map(([name, target]) => `${name}=${target}`)
  return items.join(',')
}

interface KindRules {
  parse(text: string, setting: Setting<unknown>): unknown
  describe(range: string, setting: Setting<unknown>): string
}

const KINDS: Readonly<Record<SettingKind, KindRules>> = {
  text: { parse: (text) => text, describe: () => 'a text' },
  path: { parse: (text) => text, describe: () => 'a path' },
  url: {
    parse: (text) => (URL.canParse(text) ? text.replace(/\/+$/, '') : undefined),
    describe: () => 'a URL'
  },
  address: {
    parse: (text) => (URL.canParse(text) ? text : undefined),
    describe: () => 'a URL'
  },
  proxy: { parse: toProxyUrl, describe: () => 'the address of a proxy' },
  choice: {
    parse: (text, setting) => parseChoice(setting.enum ?? [], text.toLowerCase()),
    describe: (_range, setting) => `one of ${(setting.enum ?? []).join(', ')}`
  },
  flag: { parse: (text) => parseFlag(text.toLowerCase()), describe: () => 'true or false' },
  count: {
    parse: (text) => (/^[0-9]+$/.test(text) ? Number(text) : undefined),
    describe: (range) => `a whole number ${range}`
  },
  bytes: {
    parse: parseBytes,
    describe: (range) => `a size ${range}, such as 65536, 64K or 512M`
  },
  seconds: {
    parse: parseSeconds,
    describe: (range) => `seconds ${range}, fractions included`
  },
  list: {
    parse: (text) => text.split(',').map((item) => item.trim()),
    describe: () => 'a list separated by commas'
  },
  pairs: { parse: parsePairs, describe: () => 'a=b pairs separated by commas' }
}

const UNIT_BYTES = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 } as const
const TRUE_WORDS = ['true', '1', 'yes', 'on', 'enabled']
const FALSE_WORDS = ['false', '0', 'no', 'off', 'disabled']
/** Level names of other loggers, which another gateway's `.env` may use. */
const CHOICE_ALIASES: Readonly<Record<string, string>> = { warning: 'warn', critical: 'fatal' }

function parseChoice(choices: readonly string[], word: string): string | undefined {
  const choice = Object.hasOwn(CHOICE_ALIASES, word) ? CHOICE_ALIASES[word] : word
  return choices.find((known) => known === choice)
}

function parseFlag(word: string): boolean | undefined {
  if (TRUE_WORDS.includes(word)) return true
  return FALSE_WORDS.includes(word) ? false : undefined
}

function parseBytes(text: string): number | undefined {
  const match = /^([0-9]+)\s*(?:([KMG])(?:I?B)?|B)?$/.exec(text.toUpperCase())
  if (match === null) return undefined
  const unit = match[2] ?? ''
  return unit === '' || unit === 'K' || unit === 'M' || unit === 'G'
    ? Number(match[1]) * UNIT_BYTES[unit]
    : undefined
}

function parseSeconds(text: string): number | undefined {
  return /^([0-9]+(\.[0-9]*)?|\.[0-9]+)$/.test(text) ? Math.round(Number(text) * 1000) : undefined
}

function parsePairs(text: string): Readonly<Record<string, string>> | undefined {
  const pairs = text.split(',').map((pair) => {
    const at = pair.indexOf('=')
    return [pair.slice(0, Math.max(at, 0)).trim(), pair.slice(at + 1).trim()] as const
  })
  const names = new Set(pairs.map(([name]) => name))
  const isComplete = pairs.every(([name, target]) => name !== '' && target !== '')
  return isComplete && names.size === pairs.length ? Object.fromEntries(pairs) : undefined
}

function writeNumber({ kind }: Setting<unknown>, value: number): string {
  if (kind === 'seconds') return String(value / 1000)
  if (kind !== 'bytes' || value === 0) return String(value)
  const unit = (['G', 'M', 'K'] as const).find((name) => value % UNIT_BYTES[name] === 0)
  return unit === undefined ? String(value) : `${value / UNIT_BYTES[unit]}${unit}`
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { http: 80, https: 443, socks5: 1080 }
const ADDRESS = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.+)$/i
const HOST = /^([a-z0-9._-]{1,253}|\[[0-9a-f:.]+\])$/i
/** RFC 1929 has one byte for each length. */
const MAX_SOCKS_BYTES = 255

/** Returns `scheme://[user:password@]host:port`, percent-encoded. Default is http; `socks5h` becomes `socks5`. */
export function toProxyUrl(text: string): string | undefined {
  const [, given, rest = ''] = ADDRESS.exec(text) ?? []
  if (given === undefined && !/:[0-9]+\/?$/.test(rest)) return undefined
  const scheme = given?.toLowerCase().replace(/^socks5h$/, 'socks5') ?? 'http'
  const defaultPort = DEFAULT_PORTS[scheme]
  if (defaultPort === undefined || !URL.canParse(`${scheme}://${rest}`)) return undefined
  const url = new URL(`${scheme}://${rest}`)
  const { hostname, username, password, pathname, search, hash } = url
  const isBare = ['', '/'].includes(pathname) && search === '' && hash === ''
  if (!isBare || !HOST.test(hostname) || url.port === '0') return undefined
  if (!isUsable(scheme, username) || !isUsable(scheme, password)) return undefined
  if (scheme !== 'socks5' && decodeURIComponent(username).includes(':')) return undefined
  const credentials = username === '' && password === '' ? '' : `${username}:${password}@`
  return `${scheme}://${credentials}${hostname}:${url.port === '' ? defaultPort : url.port}`
}

function isUsable(scheme: string, encoded: string): boolean {
  try {
    const bytes = Buffer.byteLength(decodeURIComponent(encoded))
    return scheme !== 'socks5' || bytes <= MAX_SOCKS_BYTES
  } catch {
    return false // % without two digits, or bytes that are not UTF-8
  }
}
