import { execFile } from 'node:child_process'
import { isIP } from 'node:net'
import { isListed, isLoopback, toAddressList } from '../../config/address-list.ts'
import type { Environment } from '../../config/load.ts'
import { isOnThisMachine } from '../../shared/loopback.ts'
import { parseJsonObject, textMember } from '../../shared/json.ts'
import { askGateway } from '../ask-gateway.ts'
import { compareVersions } from '../update.ts'
import { isUntrusted } from './gateway.ts'

/** The first version that was seen to sign in by the user's own settings. */
export const OLDEST_CLAUDE = '2.1.331'

const VERSION_TIMEOUT_MS = 5_000
const ASK_TIMEOUT_MS = 10_000
const MAX_BYTES = 64 * 1024

/** Returns the version of the Claude Code that `claude` starts; `null` if there is none. Never rejects. */
export function installedClaude(env: Environment): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>()
  const options = {
    timeout: VERSION_TIMEOUT_MS,
    shell: process.platform === 'win32', // it is a .cmd there
    env: { ...env }
  }
  execFile('claude', ['--version'], options, (error, stdout) => {
    resolve(error === null ? (/\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? null) : null)
  })
  return promise
}

export function canSignIn(version: string): boolean {
  return compareVersions(version, OLDEST_CLAUDE) >= 0
}

/** `silent`: nothing answers. `untrusted`: its certificate is not. `off`: what answers has no sign-in for devices. */
export type SignInOffer = 'offered' | 'off' | 'silent' | 'untrusted'

/** Rejects only when `signal` aborts. */
export async function askForSignIn(url: string, signal: AbortSignal): Promise<SignInOffer> {
  try {
    const path = '/.well-known/oauth-authorization-server'
    const question = { path, timeoutMs: ASK_TIMEOUT_MS, maxBytes: MAX_BYTES }
    const { status, text } = await askGateway({ url, key: null, signal }, question)
    if (status >= 502 && status <= 504) return 'silent'
    const found = parseJsonObject(text) ?? {}
    const isThere = textMember(found, 'device_authorization_endpoint') !== null
    return status === 200 && isThere ? 'offered' : 'off'
  } catch (cause) {
    signal.throwIfAborted()
    return isUntrusted(cause) ? 'untrusted' : 'silent'
  }
}

/** Says why Claude Code does not sign in at this address; `null` if nothing is known against it. */
export function whyNoSignIn(url: string): string | null {
  const { protocol, hostname } = new URL(url)
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const isOwn = isOnThisMachine(hostname) || isLoopback(host)
  if (protocol === 'http:' && !isOwn)
    return `Claude Code signs in over https:// alone, except on this machine. Put a proxy with TLS before ${url}.`
  if (isIP(host) === 0 || isOwn || (PRIVATE !== null && isListed(PRIVATE, host))) return null
  return `${host} is a public address, and Claude Code signs in to gateways at private addresses alone. Use an address of your private network or VPN.`
}

const PRIVATE = toAddressList([
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  'fc00::/7'
])

/** Settings that make Claude Code sign in to a gateway, in a person's own file or in that of a machine. */
export function signInSettings(url: string) {
  return { forceLoginMethod: 'gateway', forceLoginGatewayUrl: url } as const
}

/** Files that an administrator gives to all machines, by system. */
export const MANAGED_PATHS = {
  Linux: '/etc/claude-code/managed-settings.json',
  macOS: '/Library/Application Support/ClaudeCode/managed-settings.json',
  Windows: String.raw`C:\Program Files\ClaudeCode\managed-settings.json`
} as const
