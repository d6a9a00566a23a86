import { join } from 'node:path'
import type { Logger } from '../observe/logger.ts'
import { type JsonObject, parseJsonObject, textMember } from '../shared/json.ts'
import { asGatewayError, codeOf, type GatewayError } from '../shared/errors.ts'
import {
  isOwnFile,
  makeInnerFolder,
  openPrivateFile,
  removeDrafts,
  replaceFile
} from '../shared/private-files.ts'
import type { RenewedTokens } from './renew.ts'
import type { SharedSignIn, SharedTokens } from './shared-sign-in.ts'
import { expiryOf, parseExpiry } from './sign-in.ts'
import {
  type CredentialSource,
  hashOf,
  isTokenText,
  type StoredCredential
} from './stored-credential.ts'

type VaultLog = Pick<Logger, 'info' | 'warn' | 'error'>

export interface VaultSharing {
  readonly share: SharedSignIn
  readonly now: () => number
}

/** Keeps tokens in the source, our overlay, and memory in case neither is writable; returns the newest. */
export class CredentialVault {
  readonly source: CredentialSource
  readonly #overlay: OverlayStore
  readonly #log: VaultLog
  sharing: VaultSharing | null = null
  #read: StoredCredential | null = null
  #trouble: GatewayError | null = null
  #renewed: Successor | null = null
  #unpublished: StoredCredential | null = null
  #obstacle = ''

  constructor(source: CredentialSource, stateDir: string, log: VaultLog) {
    this.source = source
    this.#overlay = new OverlayStore(stateDir, source.id, log)
    this.#log = log
  }

  /** Reads source and overlay again. @throws {GatewayError} GW_CONFIG_INVALID if the source could never be read */
  async load(): Promise<StoredCredential> {
    const newest = await this.#loadFiles()
    const isShared = newest.refreshToken !== null || newest.isAwaited === true
    if (this.sharing === null || !isShared) return newest
    const { share, now } = this.sharing
    const shared = await share.newest(newest)
    if (shared.stored.accessToken !== newest.accessToken) await this.#follow(shared, now())
    return shared.stored
  }

  async #loadFiles(): Promise<StoredCredential> {
    let read: StoredCredential
    let trouble: GatewayError | null = null
    try {
      read = await this.source.read()
    } catch (err) {
      if (this.#read === null) throw err
      if (this.#trouble === null)
        this.#log.warn({ source: this.source.name, err }, 'credentials cannot be reloaded')
      trouble = asGatewayError(err)
      read = this.#read
    }
    this.#trouble = trouble
    this.#read = read
    this.#unpublished = null
    // Without a refresh token it was never renewed, so it has no successor.
    if (read.refreshToken === null) return read
    const newest = reconcile(read, [this.#renewed, await this.#overlay.load()])
    if (newest.refreshToken !== read.refreshToken) this.#unpublished = newest
    return newest
  }

  /** Why the last read of the source failed; its previous content may be used up. */
  get trouble(): GatewayError | null {
    return this.#trouble
  }

  /** True if the source lacks the newest tokens: unwritable, or the process was killed first. */
  get isAhead(): boolean {
    return this.#unpublished !== null && this.source.writeBack !== undefined
  }

  /** Brings the source up to date. Call with its lock held. */
  async publish(): Promise<void> {
    if (this.#unpublished !== null) await this.#writeBack(this.#unpublished)
  }

  /** Stores tokens; never rejects. The overlay comes first, since no program can delay it. */
  async keep(
    before: StoredCredential,
    tokens: RenewedTokens,
    now: number
  ): Promise<StoredCredential> {
    const fresh = {
      accessToken: tokens.accessToken,
      refreshToken: tokens.refreshToken ?? before.refreshToken,
      expiresAt: expiryOf(tokens.expiresInS, now),
      profileArn: tokens.profileArn ?? before.profileArn
    }
    const renewed = { ...before, ...fresh }
    await this.#remember(renewed, fresh, now)
    await this.#writeBack(renewed)
    return renewed
  }

  async keepShared(
    shared: SharedTokens & { readonly isOurs: boolean },
    now: number
  ): Promise<StoredCredential> {
    await this.#follow(shared, now)
    if (shared.isOurs && shared.isOfFiles) await this.#writeBack(shared.stored)
    return shared.stored
  }

  /** Keeps another gateway's newer tokens in our own files, which must outlive the sharing. */
  async #follow({ stored, isOfFiles }: SharedTokens, now: number): Promise<void> {
    const { accessToken, refreshToken, expiresAt, profileArn } = stored
    if (!isOfFiles || accessToken === null || expiresAt === null) return
    if (accessToken === this.#renewed?.accessToken) return
    await this.#remember(stored, { accessToken, refreshToken, expiresAt, profileArn }, now)
  }

  async #remember(
    before: StoredCredential,
    fresh: Omit<Successor, 'derivedFrom' | 'replaces' | 'issuedAt'>,
    now: number
  ): Promise<void> {
    const source = this.#read ?? before
    const earlier = [this.#renewed, await this.#overlay.load()].map((one) => one?.issuedAt ?? 0)
    const issuedAt = Math.max(now, ...earlier.map((at) => at + 1)) // also where a clock was put back
    const origin = { derivedFrom: signInOf(source), replaces: tokenOf(source) }
    this.#renewed = { ...fresh, ...origin, issuedAt }
    await this.#saveOverlay(this.#renewed)
  }

  async #saveOverlay(successor: Successor): Promise<void> {
    try {
      await this.#overlay.save(successor)
    } catch (err) {
      this.#log.error(
        { path: this.#overlay.path, err },
        'renewed tokens cannot be saved and a restart will lose them: make STATE_DIR writable'
      )
    }
  }

  async #writeBack(renewed: StoredCredential): Promise<void> {
    const { source } = this
    if (source.writeBack === undefined) return
    try {
      const obstacle = await source.writeBack(renewed, this.#read?.refreshToken ?? null)
      if (obstacle !== null && obstacle !== this.#obstacle) {
        this.#log.info({ source: source.name, obstacle }, 'credentials file is not updated')
      }
      this.#obstacle = obstacle ?? ''
    } catch (err) {
      this.#log.warn({ source: source.name, err }, 'credentials file cannot be updated')
    }
  }
}

const MAX_OVERLAY_BYTES = 1024 * 1024

/** Keeps renewed tokens in our own file (0600), so that they survive a restart although the source is read-only. */
export class OverlayStore {
  readonly path: string
  readonly #dir: string
  readonly #log: Pick<Logger, 'warn'>

  constructor(stateDir: string, sourceId: string, log: Pick<Logger, 'warn'>) {
    this.#dir = join(stateDir, 'credentials')
    this.path = join(this.#dir, `${sourceId}.json`)
    this.#log = log
  }

  /** Returns `null` if there are none. A damaged file is logged and counts as none. */
  async load(): Promise<Successor | null> {
    const file = await this.#read()
    if (file === null) return null
    const successor = parseSuccessor(file)
    if (successor === null)
      this.#log.warn({ path: this.path }, 'overlay file is damaged and ignored')
    return successor
  }

  /** Keeps unknown members. Rejects with Node's error. */
  async save(successor: Successor): Promise<void> {
    await makeInnerFolder(this.#dir)
    const before = (await this.#read()) ?? {}
    const { expiresAt, issuedAt } = successor
    const next = {
      ...before,
      ...successor,
      expiresAt: new Date(expiresAt).toISOString(),
      ...(issuedAt !== undefined && { issuedAt: new Date(issuedAt).toISOString() })
    }
    // A lost single-use token cannot be replaced, so it must reach the disk.
    const text = `${JSON.stringify(next, null, 2)}\n`
    await replaceFile(this.path, { text, mode: 0o600, isDurable: true })
    await removeDrafts(this.path)
  }

  /** Ignores links and files of other users. */
  async #read(): Promise<JsonObject | null> {
    try {
      await using file = await openPrivateFile(this.path)
      const facts = await file.stat()
      if (!isOwnFile(facts)) {
        this.#log.warn({ path: this.path, uid: facts.uid }, 'overlay file belongs to another user')
        return null
      }
      if (facts.size > MAX_OVERLAY_BYTES) return {}
      return parseJsonObject(await file.readFile('utf8')) ?? {}
    } catch (cause) {
      const code = codeOf(cause)
      if (code !== 'ENOENT' && code !== 'ENOTDIR') {
        this.#log.warn({ path: this.path, code }, 'overlay file cannot be read')
      }
      return null
    }
  }
}

function parseSuccessor(file: JsonObject): Successor | null {
  const derivedFrom = textMember(file, 'derivedFrom')
  const accessToken = textMember(file, 'accessToken')
  const expiresAt = parseExpiry(file['expiresAt'])
  const issuedAt = parseExpiry(file['issuedAt'])
  if (derivedFrom === null || accessToken === null || expiresAt === null) return null
  const refreshToken = textMember(file, 'refreshToken')
  if (!isTokenText(accessToken) || (refreshToken !== null && !isTokenText(refreshToken)))
    return null
  return {
    derivedFrom,
    replaces: textMember(file, 'replaces') ?? '',
    accessToken,
    refreshToken,
    expiresAt,
    ...(issuedAt !== null && { issuedAt }),
    profileArn: textMember(file, 'profileArn')
  }
}

/** Tokens derived from those of the source; valid until there is a new sign-in. */
export interface Successor {
  /** Hash of the source's refresh token at that time. */
  readonly derivedFrom: string
  /** Hash of the source's access token at that time; it may have been refused before its expiry. */
  readonly replaces: string
  readonly accessToken: string
  readonly refreshToken: string | null
  readonly expiresAt: number
  /** Epoch ms, later for each successor; missing in files of earlier versions. */
  readonly issuedAt?: number
  readonly profileArn: string | null
}

export function signInOf(source: StoredCredential): string {
  return hashOf(source.refreshToken ?? '')
}

export function tokenOf(source: StoredCredential): string {
  return hashOf(source.accessToken ?? '')
}

/**
 * Picks the newest tokens. Successors of another sign-in are dropped: the source was written since. If the source has a
 * younger access token than the newest successor, that is used with the successor's refresh token.
 */
export function reconcile(
  source: StoredCredential,
  successors: readonly (Successor | null)[]
): StoredCredential {
  const signIn = signInOf(source)
  let newest: Successor | null = null
  for (const successor of successors) {
    if (successor === null) continue
    const isOurs =
      successor.derivedFrom === signIn || hashOf(successor.refreshToken ?? '') === signIn
    if (isOurs && (newest === null || wasIssuedLater(successor, newest))) newest = successor
  }
  if (newest === null) return source
  const refreshToken = newest.refreshToken ?? source.refreshToken
  const profileArn = newest.profileArn ?? source.profileArn
  const hasOtherToken = source.accessToken !== null && tokenOf(source) !== newest.replaces
  if (hasOtherToken && (source.expiresAt ?? 0) > newest.expiresAt)
    return { ...source, refreshToken, profileArn }
  const { accessToken, expiresAt } = newest
  return { ...source, accessToken, refreshToken, expiresAt, profileArn }
}

/** Assumes equal lifetimes where a time of issue is unknown. */
function wasIssuedLater(one: Successor, other: Successor): boolean {
  const isKnown = one.issuedAt !== undefined && other.issuedAt !== undefined
  if (!isKnown) return one.expiresAt > other.expiresAt
  return (one.issuedAt ?? 0) > (other.issuedAt ?? 0)
}
