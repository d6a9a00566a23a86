import { randomBytes } from 'node:crypto'
import type { Config } from '../config/settings.ts'
import { type DeviceNews, NO_DEVICES } from '../devices/access-check.ts'
import { CodeTries } from '../devices/code-tries.ts'
import {
  askStep,
  decideStep,
  type DeviceDecision,
  type DeviceGrant,
  type DeviceOrigin,
  type DeviceState,
  endStep,
  findWaiting,
  type KeyStanding,
  pollStep,
  refreshStep,
  type SignedInDevice,
  withoutExpired,
  type WaitingDevice
} from '../devices/device-core.ts'
import { DEVICE_LIMITS } from '../devices/device-limits.ts'
import {
  makeDeviceCode,
  makeDeviceId,
  makeRefreshToken,
  OPEN_KEY,
  readAccessToken,
  readRefreshToken,
  secretHash
} from '../devices/device-secrets.ts'
import { PollPace } from '../devices/poll-pace.ts'
import { makeUserCode, readUserCode, showUserCode } from '../devices/user-code.ts'
import type {
  ApprovedKey,
  DeviceAnswer,
  DeviceCall,
  DeviceRefusal,
  DeviceShown,
  DeviceUser,
  PendingDevice
} from '../ipc/devices.ts'
import type { PanelUser } from '../ipc/panel.ts'
import { type KnownKeys, type NamedKey, whyRefused } from '../keys/key.ts'
import type { Logger } from '../observe/logger.ts'
import { DeviceBook } from './devices/device-book.ts'
import { DeviceFile } from './devices/device-file.ts'
import { type DeviceStore, DeviceStoreError } from './devices/device-store.ts'
import type { AuditOptions } from './panel/audit-actions.ts'
import { noteChange, type PanelChange } from './panel/audit-note.ts'

export interface DeviceControlOptions {
  readonly config: () => Config
  readonly knownKeys: () => KnownKeys
  /** Tells all workers. */
  readonly tell: (news: DeviceNews) => void
  /** Resolves when all workers go by what they were told. */
  readonly settled: () => Promise<unknown>
  readonly keepAudit: AuditOptions['keep']
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  /** Epoch ms. */
  readonly now?: () => number
}

type AnswerNamed<Name extends DeviceAnswer['name']> = Extract<DeviceAnswer, { readonly name: Name }>

const PROOF_CHARS = 16
const MARK_BYTES = 9
/** A user code is taken by chance once in many million times. */
const MAX_CODES = 8

/** The sign-in of devices (RFC 8628): every step, on whichever gateway of a fleet. */
export class DeviceControl {
  readonly #options: DeviceControlOptions
  readonly #now: () => number
  readonly #book: DeviceBook
  readonly #paces = new PollPace()
  readonly #tries: CodeTries
  #news: DeviceNews = NO_DEVICES
  #told: DeviceState | null = null

  constructor(options: DeviceControlOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    const { replicas } = options.config().fleet
    this.#tries = new CodeTries(replicas ?? 1)
    this.#book = new DeviceBook({
      log: options.log,
      now: this.#now,
      onChange: (state) => this.#onState(state)
    })
  }

  /** State for workers. */
  get news(): DeviceNews {
    return this.#news
  }

  /** Reads the sign-ins, outside a fleet from STATE_DIR. Problems are logged: all but devices is served. */
  async start(): Promise<void> {
    const { config, log } = this.#options
    const { credentials, fleet } = config()
    if (fleet.url !== null) return
    this.#book.open(new DeviceFile({ stateDir: credentials.stateDir, log }))
    await this.#book.look()
  }

  /** Keeps the sign-ins with the fleet. Never rejects. */
  async share(store: DeviceStore): Promise<void> {
    this.#book.open(store)
    await this.#book.look()
  }

  close(): void {
    this.#book.close()
  }

  /** Ends sign-ins whose key was revoked, or whose proof was replaced. Call when keys have changed. Never rejects. */
  async onKeys(): Promise<void> {
    const over = [...(this.#book.state?.devices.values() ?? [])].filter((device) =>
      this.#isOver(device)
    )
    if (over.length === 0) return
    const ids = over.map(({ id }) => id)
    await this.#book.change((state, now) => endStep(state, ids, now), true).catch(() => {}) // the book has said it
    this.#options.log.info({ devices: over.length }, 'sign-ins of devices ended with their keys')
  }

  /** Never rejects. */
  async answer(call: DeviceCall): Promise<DeviceAnswer> {
    try {
      return await this.#take(call)
    } catch (cause) {
      const isKnown = cause instanceof DeviceStoreError
      if (!isKnown) this.#options.log.error({ err: cause, step: call.name }, 'a device step failed')
      const message = isKnown ? cause.message : 'The sign-in of devices has failed. Try again.'
      return { name: 'unavailable', message }
    }
  }

  #take(call: DeviceCall): Promise<DeviceAnswer> {
    switch (call.name) {
      case 'ask':
        return this.ask(call)
      case 'find':
        return this.find(call.code, call.address)
      case 'approve':
        return this.approve(call.code, call.grant, call.by)
      case 'deny':
        return this.deny(call.code, call.by)
      case 'poll':
        return this.poll(call.deviceCode, call.clientId)
      case 'refresh':
        return this.refresh(call.token, call.clientId)
      case 'revoke':
        return this.revoke(call.token)
    }
  }

  /** @throws {DeviceStoreError} if the sign-ins cannot be read or saved, like all steps */
  async ask(asked: DeviceOrigin): Promise<AnswerNamed<'asked' | 'full'>> {
    const { clientId, client, host, address } = asked
    for (let tries = 0; tries < MAX_CODES; tries += 1) {
      const userCode = makeUserCode()
      let deviceCode = ''
      const codeOf = onceFor((secret) => makeDeviceCode(secret, this.#now() + DEVICE_LIMITS.codeMs))
      const outcome = await this.#book.change((state, now) => {
        deviceCode = codeOf(state)
        return askStep(state, { deviceCode, userCode, clientId, client, host, address }, now)
      })
      if (outcome.name === 'full') return outcome
      if (outcome.name === 'taken') continue
      return {
        name: 'asked',
        deviceCode,
        userCode: showUserCode(userCode),
        expiresInMs: DEVICE_LIMITS.codeMs,
        intervalMs: DEVICE_LIMITS.intervalMs
      }
    }
    throw new DeviceStoreError('No code could be made. Try again.')
  }

  /** Looks for a code that a user has typed, and counts wrong ones. */
  async find(typed: string, address: string): Promise<AnswerNamed<'found' | 'often'>> {
    const codes = Math.max(1, (await this.#current()).waiting.size)
    const waitMs = this.#tries.waitMs(address, codes)
    if (waitMs > 0) return { name: 'often', waitMs }
    const code = readUserCode(typed)
    if (code === null) return { name: 'found', device: null }
    this.#tries.onTry(address, codes) // before its outcome, or tries at the same moment would all count as the first
    const device = await this.#waiting(code)
    if (device !== null) this.#tries.onRight(address, codes)
    return { name: 'found', device: device === null ? null : shown(device) }
  }

  /** Gives the device a key. Resolves once that is kept: the device gets its tokens with its next poll. */
  async approve(
    typed: string,
    grant: ApprovedKey,
    by: DeviceUser
  ): Promise<AnswerNamed<'decided' | 'refused'>> {
    const why = this.#whyNot(grant, by)
    if (why !== null) return { name: 'refused', why }
    const key = 'open' in grant ? OPEN_KEY : grant.key
    const mark = randomBytes(MARK_BYTES).toString('base64url')
    const proof = this.#proofOf(by).slice(0, PROOF_CHARS)
    const decided = await this.#decide(typed, {
      name: 'approved',
      key,
      by: by.name.slice(0, MAX_NAME_CHARS),
      proof,
      mark
    })
    if (decided.name === 'decided') {
      const { device } = decided
      const after = { key, key_name: this.#nameOf(key), ...factsOf(device) }
      await this.#note(by, { action: 'device.approve', subject: device.code, after })
    }
    return decided
  }

  /** Says whether an operator may make a key for the device with this code: before it is made. */
  async whyNoNewKey(typed: string, by: PanelUser): Promise<DeviceRefusal | null> {
    if (by.role !== 'operator') return 'not-allowed'
    if (this.#isOpen) return 'open'
    const code = readUserCode(typed)
    const device = code === null ? null : await this.#waiting(code)
    return device === null ? 'unknown' : (device.decision?.name ?? null)
  }

  async deny(typed: string, by: DeviceUser): Promise<AnswerNamed<'decided' | 'refused'>> {
    if (by.role !== 'operator' && this.#options.config().devices.signIn !== 'self')
      return { name: 'refused', why: 'not-allowed' }
    const decided = await this.#decide(typed, { name: 'denied' })
    if (decided.name === 'decided') {
      const { device } = decided
      await this.#note(by, {
        action: 'device.deny',
        subject: device.code,
        after: factsOf(device)
      })
    }
    return decided
  }

  /** Answers a device that asks whether it is approved: with tokens, once. */
  async poll(
    deviceCode: string,
    clientId: string | null
  ): Promise<AnswerNamed<'pending' | 'slow-down' | 'denied' | 'expired' | 'invalid' | 'tokens'>> {
    const deviceId = makeDeviceId()
    const tokenOf = onceFor((secret) => makeRefreshToken(secret, deviceId))
    const step = (state: DeviceState, now: number) => {
      const request = { deviceCode, clientId, deviceId, refreshToken: tokenOf(state) }
      return pollStep(state, request, (grant) => this.#standingOf(grant), now)
    }
    const hash = secretHash(deviceCode)
    const seen = step(await this.#current(), this.#now()).outcome
    // An undecided step is not written, so that polls cost little.
    if (seen.name === 'pending') return this.#paces.isTooEarly(hash) ? { name: 'slow-down' } : seen
    const outcome = await this.#book.changeSurely(step, ({ name }) => name === 'invalid')
    if (outcome.name !== 'tokens') return outcome
    this.#paces.forget(hash)
    const { device, ...tokens } = outcome
    this.#options.log.info(
      { device: device.id, key: this.#nameOf(device.key), client: device.client },
      'a device has signed in'
    )
    return tokens
  }

  async refresh(
    token: string,
    clientId: string | null
  ): Promise<AnswerNamed<'invalid' | 'tokens'>> {
    const nextOf = onceFor((secret) =>
      makeRefreshToken(secret, readRefreshToken(secret, token) ?? makeDeviceId())
    )
    const outcome = await this.#book.changeSurely(
      (state, now) => {
        const request = { token, clientId, nextToken: nextOf(state) }
        return refreshStep(state, request, (grant) => this.#standingOf(grant), now)
      },
      (refused) => refused.name === 'invalid' && refused.why !== 'reused' // which is kept by now
    )
    if (outcome.name === 'tokens') {
      const { device: _, ...tokens } = outcome
      return tokens
    }
    if (outcome.why === 'reused') {
      const { id: device, key, client, host } = outcome.device
      this.#options.log.warn(
        { device, key: this.#nameOf(key), client, host },
        'a used refresh token was presented again, so a copy of it exists: the sign-in of this device has ended'
      )
      await this.#options.settled()
    }
    return { name: 'invalid' }
  }

  /** Ends the sign-in of a refresh or access token; does nothing for other texts (RFC 7009 §2.2). */
  async revoke(token: string): Promise<AnswerNamed<'revoked'>> {
    const { secret } = await this.#current()
    const id = readRefreshToken(secret, token) ?? readAccessToken(secret, token)?.device ?? null
    if (id !== null) await this.#end(id)
    return { name: 'revoked' }
  }

  async list(): Promise<{
    readonly pending: readonly PendingDevice[]
    readonly devices: readonly DeviceShown[]
  }> {
    const { waiting, devices } = withoutExpired(await this.#current(), this.#now())
    const pending = [...waiting.values()].filter(({ decision }) => decision === null).map(shown)
    const all = [...devices.values()].map((device) => this.#toShown(device))
    return { pending, devices: all.toSorted((one, other) => other.usedAt - one.usedAt) }
  }

  /** Ends a sign-in. Resolves with it once all workers refuse its tokens; with `null` if there is none. */
  async end(id: string, by: PanelUser): Promise<DeviceShown | null> {
    const ended = await this.#end(id)
    if (ended === undefined) return null
    const device = this.#toShown(ended)
    const { keyName, client, host, address } = device
    const before = { id, key_name: keyName, client, host, address }
    await this.#note(by, { action: 'device.end', subject: id, before })
    return device
  }

  /** Resolves with `undefined` if there is no such sign-in. */
  async #end(id: string): Promise<SignedInDevice | undefined> {
    const [ended] = await this.#book.changeSurely(
      (state, now) => endStep(state, [id], now),
      ({ length }) => length === 0,
      true
    )
    await this.#options.settled()
    return ended
  }

  async #decide(
    typed: string,
    decision: DeviceDecision
  ): Promise<AnswerNamed<'decided' | 'refused'>> {
    const code = readUserCode(typed)
    if (code === null) return { name: 'refused', why: 'unknown' }
    const outcome = await this.#book.changeSurely(
      (state, now) => decideStep(state, code, decision, now),
      ({ name }) => name === 'unknown',
      true
    )
    switch (outcome.name) {
      case 'done':
        return { name: 'decided', device: shown(outcome.device) }
      case 'unknown':
        return { name: 'refused', why: 'unknown' }
      case 'decided':
        return { name: 'refused', why: outcome.decision.name }
    }
  }

  #whyNot(grant: ApprovedKey, by: DeviceUser): DeviceRefusal | null {
    const isOperator = by.role === 'operator'
    if ('open' in grant) {
      if (!this.#isOpen) return 'not-open'
      return isOperator ? null : 'not-allowed'
    }
    if (this.#isOpen) return 'open'
    const isSelf = this.#options.config().devices.signIn === 'self' && by.key === grant.key
    if (!isOperator && !isSelf) return 'not-allowed'
    const key = this.#keyOf(grant.key)
    return key === null || whyRefused(key, this.#now()) !== null ? 'key' : null
  }

  /** A person who has not entered a key here stands for the current one. */
  #proofOf({ role, key: own, proof = '' }: DeviceUser): string {
    if (role === 'operator' || own === null || proof !== '') return proof
    return this.#keyOf(own)?.hashes.find(({ until }) => until === null)?.sha256 ?? ''
  }

  #standingOf({ key: id, proof }: DeviceGrant): KeyStanding {
    if (id === OPEN_KEY) return this.#isOpen ? 'good' : 'refused'
    const key = this.#keyOf(id)
    if (key === null) return 'unknown'
    if (whyRefused(key, this.#now()) !== null) return 'refused'
    return isProven(key, proof, this.#now()) ? 'good' : 'refused'
  }

  /** For ever: a key that has expired may be extended, one that is missing may come back with its file. */
  #isOver({ key: id, proof }: SignedInDevice): boolean {
    if (id === OPEN_KEY) return !this.#isOpen
    const key = this.#keyOf(id)
    return key !== null && (key.revokedAt !== null || !isProven(key, proof, this.#now()))
  }

  /** Everyone may call: there is no key of any kind. */
  get #isOpen(): boolean {
    const { config, knownKeys } = this.#options
    const { server, credentials } = config()
    const { isKeyRequired } = knownKeys()
    return server.apiKeys.length === 0 && !credentials.isKeyPassthrough && !isKeyRequired
  }

  #keyOf(id: string): NamedKey | null {
    return this.#options.knownKeys().keys.find((key) => key.id === id) ?? null
  }

  #nameOf(id: string): string {
    return this.#keyOf(id)?.name ?? id
  }

  #toShown(device: SignedInDevice): DeviceShown {
    const { id, key, client, host, address, by, since, usedAt } = device
    return { id, key, keyName: this.#nameOf(key), client, host, address, by, since, usedAt }
  }

  #note(by: PanelUser, change: PanelChange): Promise<void> {
    const { log, keepAudit } = this.#options
    return noteChange({ log, keep: keepAudit }, by, change)
  }

  #waiting(code: string): Promise<WaitingDevice | null> {
    return this.#book.changeSurely(
      (state, now) => ({ state, outcome: findWaiting(state, code, now) }),
      (device) => device === null
    )
  }

  async #current(): Promise<DeviceState> {
    return this.#book.state ?? this.#book.change((state) => ({ state, outcome: state }))
  }

  #onState(state: DeviceState): void {
    const { secret, ended, refusedUntil } = state
    const before = this.#told
    this.#told = state
    if (before?.secret === secret && before.ended === ended) return // which `refusedUntil` follows
    this.#news = { secret, ended: [...ended.keys()], refusedUntil }
    this.#options.tell(this.#news)
  }
}

const MAX_NAME_CHARS = 256

/** Makes a secret of a device once, so that a step that is applied again uses the same; again for another secret of the sign-ins. */
function onceFor(make: (secret: string) => string): (state: DeviceState) => string {
  let made: { readonly secret: string; readonly text: string } | null = null
  return ({ secret }) => {
    if (made?.secret !== secret) made = { secret, text: make(secret) }
    return made.text
  }
}

function isProven({ hashes }: NamedKey, proof: string, now: number): boolean {
  if (proof === '') return true
  return hashes.some(
    ({ sha256, until }) => sha256.startsWith(proof) && (until === null || until > now)
  )
}

function shown(device: WaitingDevice): PendingDevice {
  const { code, client, host, address, askedAt, expiresAt, decision } = device
  const state = decision?.name ?? 'waiting'
  return { code: showUserCode(code), client, host, address, askedAt, expiresAt, state }
}

function factsOf({ client, host, address }: PendingDevice) {
  return { client, host, address }
}
