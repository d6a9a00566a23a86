import type { Logger } from '../observe/logger.ts'
import { expiryOf } from './expiry.ts'
import type { OverlayStore } from './overlay-store.ts'
import type { RenewedTokens } from './refresh-answer.ts'
import type { CredentialSource, StoredCredential } from './stored-credential.ts'
import { reconcile, signInOf, type Successor, tokenOf } from './successor.ts'

export interface VaultOptions {
  readonly source: CredentialSource
  readonly overlay: OverlayStore
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
}

/**
 * Where the tokens are kept: the source, our overlay, and memory in case neither can be written. What it hands
 * out is always the newest of the three.
 */
export class CredentialVault {
  readonly source: CredentialSource
  readonly #overlay: OverlayStore
  readonly #log: VaultOptions['log']
  /** What the source said when it could be read last. */
  #read: StoredCredential | null = null
  #renewed: Successor | null = null

  constructor({ source, overlay, log }: VaultOptions) {
    this.source = source
    this.#overlay = overlay
    this.#log = log
  }

  /**
   * Reads source and overlay afresh: somebody else may have renewed the tokens, or signed in anew.
   *
   * @throws {GatewayError} GW_CONFIG_INVALID if the source cannot be read and never could.
   */
  async load(): Promise<StoredCredential> {
    let read: StoredCredential
    try {
      read = await this.source.read()
    } catch (err) {
      if (this.#read === null) throw err
      this.#log.warn({ source: this.source.name, err }, 'credentials cannot be read again')
      read = this.#read
    }
    this.#read = read
    // A sign-in without refresh token has never been renewed, so there is nothing that could follow it.
    if (read.refreshToken === null) return read
    return reconcile(read, [this.#renewed, await this.#overlay.load()])
  }

  /** Keeps renewed tokens, in memory whatever happens. Never fails: the tokens are valid, saved or not. */
  async keep(
    before: StoredCredential,
    tokens: RenewedTokens,
    now: number
  ): Promise<StoredCredential> {
    const expiresAt = expiryOf(tokens.expiresInS, now)
    const { accessToken } = tokens
    const refreshToken = tokens.refreshToken ?? before.refreshToken
    const profileArn = tokens.profileArn ?? before.profileArn
    const renewed = { ...before, accessToken, refreshToken, expiresAt, profileArn }
    const source = this.#read ?? before
    const lineage = { derivedFrom: signInOf(source), replaces: tokenOf(source) }
    this.#renewed = { ...lineage, accessToken, refreshToken, expiresAt, profileArn }
    await this.#saveOverlay(this.#renewed)
    await this.#writeBack(renewed)
    return renewed
  }

  async #saveOverlay(successor: Successor): Promise<void> {
    try {
      await this.#overlay.save(successor)
    } catch (err) {
      this.#log.error(
        { path: this.#overlay.path, err },
        'renewed tokens cannot be saved, a restart will lose them: make STATE_DIR writable'
      )
    }
  }

  async #writeBack(renewed: StoredCredential): Promise<void> {
    const { source } = this
    if (source.writeBack === undefined) return
    try {
      const obstacle = await source.writeBack(renewed, this.#read?.refreshToken ?? null)
      if (obstacle !== null) {
        this.#log.info({ source: source.name, obstacle }, 'credentials file is left as it is')
      }
    } catch (err) {
      this.#log.warn({ source: source.name, err }, 'credentials file cannot be updated')
    }
  }
}
