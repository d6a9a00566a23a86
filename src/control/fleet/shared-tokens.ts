import { join } from 'node:path'
import { Check } from 'typebox/schema'
import { isTokenText, type StoredCredential } from '../../credentials/stored-credential.ts'
import { FactsSchema, type SignInFacts } from '../../fleet/sign-in-record.ts'
import type { AuthType } from '../../kiro/wire/credential-snapshot.ts'
import { isProfileArn, isRegion } from '../../kiro/wire/hosts.ts'
import { parseJsonObject } from '../../shared/json.ts'
import {
  makeInnerFolder,
  readPrivateFile,
  removeDrafts,
  replaceFile
} from '../../shared/private-files.ts'
import { Type } from '../../shared/schema-type.ts'

export type SignInTokens = StoredCredential & { readonly refreshToken: string }

/** Contains the remaining life, since clocks of gateways may be a day apart. */
export function toSharedText(tokens: SignInTokens, now: number): string {
  const { expiresAt } = tokens
  const leftMs = expiresAt === null ? null : Math.max(0, expiresAt - now)
  return JSON.stringify({ ...tokens, leftMs })
}

/** `ageMs` after it was written; `null` if invalid. `now` is epoch ms. */
export function readSharedText(text: string, now: number, ageMs: number): SignInTokens | null {
  // `isAwaited` is about this gateway's own sign-in.
  const { leftMs, isAwaited: _, ...file } = parseJsonObject(text) ?? {}
  const tokens = readTokens(file)
  if (tokens === null || tokens.expiresAt === null) return tokens
  return Check(Time, leftMs) ? { ...tokens, expiresAt: now + leftMs - ageMs } : null
}

const Text = Type.String({ minLength: 1, maxLength: 65_536 })
const MaybeText = Type.Union([Text, Type.Null()])
const Time = Type.Number({ minimum: 0, exclusiveMaximum: 1e14 })

const Tokens = Type.Object({
  authType: Type.Enum(['social', 'idc', 'builder-id', 'external-idp'] satisfies AuthType[]),
  accessToken: MaybeText,
  refreshToken: Text,
  expiresAt: Type.Union([Time, Type.Null()]),
  profileArn: MaybeText,
  ssoRegion: Text,
  apiRegion: MaybeText,
  client: Type.Union([
    Type.Object({ clientId: Text, clientSecret: Text, expiresAt: Type.Optional(Time) }),
    Type.Null()
  ]),
  idp: Type.Optional(
    Type.Object({ tokenEndpoint: Text, clientId: Text, issuerUrl: MaybeText, scopes: MaybeText })
  ),
  renewalProblem: Type.Null()
})

function readTokens(file: unknown): SignInTokens | null {
  if (!Check(Tokens, file)) return null
  const { accessToken, refreshToken, profileArn, ssoRegion, apiRegion } = file
  const areTokens = isTokenText(refreshToken) && isTokenText(accessToken ?? refreshToken)
  const areRegions = isRegion(ssoRegion) && isRegion(apiRegion ?? ssoRegion)
  return areTokens && areRegions && (profileArn === null || isProfileArn(profileArn)) ? file : null
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
    const facts = file?.['facts']
    const tokens = readTokens(file?.['tokens'])
    const filed = file?.['filed']
    if (!Check(FactsSchema, facts) || tokens === null || typeof filed !== 'string') return null
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
