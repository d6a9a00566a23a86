import { join } from 'node:path'
import {
  type IdpClient,
  isTokenText,
  type OidcClient,
  type StoredCredential
} from '../../credentials/stored-credential.ts'
import { readSignInFacts, type SignInFacts } from '../../fleet/sign-in-record.ts'
import type { AuthType } from '../../kiro/wire/credential-snapshot.ts'
import { isProfileArn, isRegion } from '../../kiro/wire/hosts.ts'
import { asJsonObject, type JsonObject, parseJsonObject } from '../../shared/json.ts'
import {
  makeInnerFolder,
  readPrivateFile,
  removeDrafts,
  replaceFile
} from '../../shared/private-files.ts'

export type SignInTokens = StoredCredential & { readonly refreshToken: string }

/** Contains the remaining life, since clocks of gateways may be a day apart. */
export function toSharedText(tokens: SignInTokens, now: number): string {
  const { expiresAt } = tokens
  const leftMs = expiresAt === null ? null : Math.max(0, expiresAt - now)
  return JSON.stringify({ ...tokens, leftMs })
}

/** `ageMs` after it was written; `null` if invalid. `now` is epoch ms. */
export function readSharedText(text: string, now: number, ageMs: number): SignInTokens | null {
  const file = parseJsonObject(text)
  const tokens = file === null ? null : readTokens(file)
  if (file === null || tokens === null || tokens.expiresAt === null) return tokens
  const leftMs = file['leftMs']
  return isTime(leftMs) ? { ...tokens, expiresAt: now + leftMs - ageMs } : null
}

const AUTH_TYPES: readonly unknown[] = [
  'social',
  'idc',
  'builder-id',
  'external-idp'
] satisfies AuthType[]
const MAX_CHARS = 65_536

function readTokens(file: JsonObject): SignInTokens | null {
  const { authType, accessToken, refreshToken, expiresAt, profileArn, ssoRegion, apiRegion } = file
  if (!isAuthType(authType) || !isToken(refreshToken)) return null
  if (accessToken !== null && !isToken(accessToken)) return null
  if (expiresAt !== null && !isTime(expiresAt)) return null
  if (profileArn !== null && !(isText(profileArn) && isProfileArn(profileArn))) return null
  if (!isText(ssoRegion) || !isRegion(ssoRegion)) return null
  if (apiRegion !== null && !(isText(apiRegion) && isRegion(apiRegion))) return null
  const client = readClient(file['client'])
  const idp = readIdp(file['idp'])
  if (client === undefined || idp === undefined) return null
  return {
    authType,
    accessToken,
    refreshToken,
    expiresAt,
    profileArn,
    ssoRegion,
    apiRegion,
    client,
    ...(idp !== null && { idp }),
    renewalProblem: null
  }
}

function readClient(value: unknown): OidcClient | null | undefined {
  if (value === null) return null
  const { clientId, clientSecret, expiresAt } = asJsonObject(value) ?? {}
  if (!isText(clientId) || !isText(clientSecret)) return undefined
  if (expiresAt !== undefined && !isTime(expiresAt)) return undefined
  return { clientId, clientSecret, ...(expiresAt !== undefined && { expiresAt }) }
}

function readIdp(value: unknown): IdpClient | null | undefined {
  if (value === undefined) return null
  const { tokenEndpoint, clientId, issuerUrl, scopes } = asJsonObject(value) ?? {}
  if (!isText(tokenEndpoint) || !isText(clientId)) return undefined
  if (issuerUrl !== null && !isText(issuerUrl)) return undefined
  if (scopes !== null && !isText(scopes)) return undefined
  return { tokenEndpoint, clientId, issuerUrl, scopes }
}

function isAuthType(value: unknown): value is AuthType {
  return AUTH_TYPES.includes(value)
}

function isToken(value: unknown): value is string {
  return typeof value === 'string' && isTokenText(value)
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_CHARS
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value < 1e14
}

/** A gateway's copy, so that Valkey may lose everything. */
export interface KeptSignIn {
  readonly facts: SignInFacts
  readonly tokens: SignInTokens
  /** Proof of what its own files held then; '' for no sign-in. */
  readonly filed: string
}

const MAX_FILE_BYTES = 1024 * 1024

export class SignInOverlay {
  readonly path: string
  readonly #dir: string

  constructor(stateDir: string, source: string) {
    this.#dir = join(stateDir, 'credentials')
    this.path = join(this.#dir, `fleet.${source}.json`)
  }

  async load(): Promise<KeptSignIn | null> {
    const bytes = await readPrivateFile(this.path, MAX_FILE_BYTES).catch(() => null)
    const file = bytes === null ? null : parseJsonObject(bytes.toString())
    const facts = readSignInFacts(asJsonObject(file?.['facts']) ?? {})
    const tokens = readTokens(asJsonObject(file?.['tokens']) ?? {})
    const filed = file?.['filed']
    if (facts === null || tokens === null || typeof filed !== 'string') return null
    return { facts, tokens, filed }
  }

  /** Resolves when the disk has it. Rejects with Node's error. */
  async save(kept: KeptSignIn): Promise<void> {
    await makeInnerFolder(this.#dir)
    const text = `${JSON.stringify(kept, null, 2)}\n`
    await replaceFile(this.path, { text, mode: 0o600, isDurable: true })
    await removeDrafts(this.path)
  }
}
