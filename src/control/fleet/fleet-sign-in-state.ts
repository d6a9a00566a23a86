import type { SharedTokens } from '../../credentials/shared-sign-in.ts'
import type { StoredCredential } from '../../credentials/stored-credential.ts'
import type { FleetRecord, FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import {
  isHeldBack,
  newRefreshState,
  newSignIn,
  nextRefresh,
  publication,
  type RefreshEvent,
  type RefreshState
} from '../../fleet/next-refresh.ts'
import {
  aadOf,
  isKnownTo,
  proofOf,
  readSignInRecord,
  type SignInFacts,
  writeSignInRecord
} from '../../fleet/sign-in-record.ts'
import type { Logger } from '../../observe/logger.ts'
import type { Instant } from '../../shared/elapsed.ts'
import {
  type KeptSignIn,
  readSharedText,
  type SignInTokens,
  toSharedText
} from './shared-tokens.ts'

export interface FleetSignInStateOptions {
  readonly records: FleetRecords
  readonly seal: Pick<FleetSeal, 'seal' | 'open'>
  readonly overlay: {
    load(): Promise<KeptSignIn | null>
    save(kept: KeptSignIn): Promise<void>
  }
  readonly fleet: string
  readonly self: string
  /** Name of the record; equal for all gateways that share the sign-in. */
  readonly source: string
  readonly isOpen: () => boolean
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  readonly now: () => Instant
}

const MAX_TRIES = 12

/** This gateway's knowledge of the fleet's sign-in: read from Valkey, kept in the overlay. One call at a time. */
export class FleetSignInState {
  readonly #options: FleetSignInStateOptions
  #state: RefreshState
  #tokens: SignInTokens | null
  #files: StoredCredential | null = null
  #isUnsaved = false
  #said = ''

  private constructor(options: FleetSignInStateOptions, kept: KeptSignIn | null) {
    const own = kept?.facts ?? null
    this.#options = options
    this.#state = newRefreshState(options.self, { own, filed: kept?.filed ?? '' })
    this.#tokens = kept?.tokens ?? null
  }

  static async open(options: FleetSignInStateOptions): Promise<FleetSignInState> {
    return new FleetSignInState(options, await options.overlay.load())
  }

  get state(): RefreshState {
    return this.#state
  }

  get tokens(): SignInTokens | null {
    return this.#tokens
  }

  get isUntold(): boolean {
    return publication(this.#state) !== null
  }

  setFiles(files: StoredCredential): void {
    this.#files = files
  }

  /** The newest tokens, or those of the own files if these hold a new sign-in that Valkey lacks. */
  shared(): SharedTokens | null {
    const [tokens, files, { own }] = [this.#tokens, this.#files, this.#state]
    const proof = this.#proofOfFiles()
    if (files !== null && (tokens === null || newSignIn(this.#state, proof) !== null)) {
      return { stored: files, isOfFiles: true }
    }
    const isOfFiles = own !== null && proof !== '' && isKnownTo(own, proof)
    return tokens === null ? null : { stored: tokens, isOfFiles }
  }

  tell(event: RefreshEvent): void {
    const { own, filed } = this.#state
    this.#state = nextRefresh(this.#state, event)
    if (this.#state.own !== own || this.#state.filed !== filed) this.#isUnsaved = true
  }

  /** Takes tokens received in the granted turn. Returns false if there are newer ones. */
  take(tokens: SignInTokens): boolean {
    const { own } = this.#state
    this.tell({ type: 'renewed', proof: this.#proofOf(tokens) })
    if (this.#state.own === own) return false
    this.#tokens = tokens
    return true
  }

  /** Reads from and writes to Valkey. Returns false if it does not answer. Never rejects. */
  async sync(): Promise<boolean> {
    const { records, source, isOpen, now } = this.#options
    this.tell({ type: 'fleet', isOpen: isOpen(), at: now() })
    try {
      this.#hear(await records.read(source))
      for (let tries = 0; tries < MAX_TRIES; tries += 1) if (await this.#tellStore()) break
      // The files' content counts as seen once Valkey knows it.
      const proof = this.#proofOfFiles()
      if (proof !== '' && proof !== this.#state.filed) this.tell({ type: 'filed', proof })
      if (this.#isUnsaved) await this.save()
      return true
    } catch {
      if (this.#isUnsaved) await this.save()
      return false
    }
  }

  async write(facts: SignInFacts, tokens = this.#tokens): Promise<boolean> {
    if (tokens === null) throw new Error('a sign-in without tokens is not shared')
    const { records, seal, fleet, source, now } = this.#options
    const sealed = seal.seal(toSharedText(tokens, now().wall), aadOf(facts, fleet, source))
    const value = writeSignInRecord({ ...facts, sealed })
    const { rev: before = 0 } = this.#state.seen ?? {}
    const { isWritten, record } = await records.cas(source, { rev: before, value })
    if (!isWritten) {
      this.#hear(record)
      return false
    }
    const { run, rev } = record
    this.#tokens = tokens
    const is = { isNewer: false, isForeign: false }
    this.tell({ type: 'seen', run, rev, facts, ...is, at: now() })
    return true
  }

  /** Resolves when the disk has it or has failed: then only memory and Valkey have it. */
  async save(): Promise<void> {
    const { own, filed } = this.#state
    if (own === null || this.#tokens === null) return
    try {
      await this.#options.overlay.save({ facts: own, tokens: this.#tokens, filed })
      this.#isUnsaved = false
    } catch (err) {
      this.sayOnce('unsaved', () => this.#options.log.error({ err }, UNSAVED))
    }
  }

  sayOnce(what: string, say: () => void): void {
    if (this.#said === what) return
    this.#said = what
    say()
  }

  async #tellStore(): Promise<boolean> {
    const fresh = newSignIn(this.#state, this.#proofOfFiles())
    if (fresh !== null) {
      if (!(await this.write(fresh, asTokens(this.#files)))) return false
      this.#options.log.info({ gen: fresh.gen }, 'new sign-in shared with the fleet')
      return true
    }
    const facts = publication(this.#state)
    if (facts === null || isHeldBack(this.#state, this.#options.now())) return true
    return this.write(facts)
  }

  #hear({ run, rev, value, ageMs = 0 }: FleetRecord): void {
    const { fleet, source, seal, self, log, now } = this.#options
    const reading = readSignInRecord(value)
    const record = reading.type === 'record' ? reading.record : null
    const text = record === null ? null : seal.open(record.sealed, aadOf(record, fleet, source))
    const tokens = text === null ? null : readSharedText(text, now().wall, ageMs)
    const isOurs = record !== null && tokens !== null && this.#proofOf(tokens) === record.proof
    const facts = isOurs ? factsOf(record) : null
    const isNewer = reading.type === 'newer'
    const isForeign = facts === null && value !== null && !isNewer
    if (isNewer || isForeign) {
      const minute = Math.floor(now().mono / 60_000)
      const what = isNewer ? NEWER : FOREIGN
      this.sayOnce(`${what} ${minute}`, () => log.warn({ rev }, what))
    }
    const before = this.#state.own
    this.tell({ type: 'seen', run, rev, facts, isNewer, isForeign, at: now() })
    const { own } = this.#state
    if (own === null || tokens === null || own === before) return
    if (own.gen === before?.gen && own.proof === before.proof) return
    this.#tokens = tokens
    const { gen, holder } = own
    if (holder !== self) log.info({ gen, holder }, 'the fleet has a different token')
  }

  #proofOfFiles(): string {
    const tokens = asTokens(this.#files)
    return tokens === null ? '' : this.#proofOf(tokens)
  }

  #proofOf({ refreshToken }: SignInTokens): string {
    return proofOf(refreshToken, this.#options.fleet)
  }
}

/** `null` unless it can be renewed anywhere. */
function asTokens(stored: StoredCredential | null): SignInTokens | null {
  if (stored === null || stored.refreshToken === null || stored.renewalProblem !== null) return null
  return { ...stored, refreshToken: stored.refreshToken }
}

function factsOf({ gen, holder, phase, fence, proof, lineage, spent }: SignInFacts): SignInFacts {
  return { gen, holder, phase, fence, proof, lineage, spent }
}

const FOREIGN =
  "the sign-in in the fleet's Valkey is not trusted and is replaced: it was encrypted with a secret that is not in FLEET_SECRET, or was modified"
const NEWER = "the sign-in in the fleet's Valkey is of a newer version: update this gateway"
const UNSAVED =
  'the sign-in of the fleet cannot be saved and a restart will lose it: make STATE_DIR writable'
