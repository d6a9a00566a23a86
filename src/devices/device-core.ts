import { networkOf } from '../shared/network.ts'
import { DEVICE_LIMITS } from './device-limits.ts'
import {
  makeAccessToken,
  OPEN_KEY,
  readDeviceCode,
  readRefreshToken,
  secretHash
} from './device-secrets.ts'

/*
 *   ask ──▶ waiting ──approve──▶ approved ──poll──▶ signed in ──refresh──▶ signed in …
 *              │                                       │
 *              ├──deny──▶ denied                       └──end, revoke, a token used twice, 90 days──▶ ended
 *              └──ten minutes──▶ gone
 *
 * Each step takes a state and returns the next one. Its random values are made before it: a step that is applied
 * again, because its result may not have been kept, gives the same result.
 */

export interface DeviceOrigin {
  /** `client_id` of the request; codes and tokens are good for this client only. */
  readonly clientId: string | null
  /** Shown to the person who approves, like `host`; both are the client's own words, and may be empty. */
  readonly client: string
  readonly host: string
  readonly address: string
}

/** Times are epoch ms. */
export interface WaitingDevice extends DeviceOrigin {
  /** Eight letters. */
  readonly code: string
  readonly askedAt: number
  readonly expiresAt: number
  readonly decision: DeviceDecision | null
}

export type DeviceDecision =
  | { readonly name: 'denied' }
  | (DeviceGrant & {
      readonly name: 'approved'
      /** Tells this approval from another. */
      readonly mark: string
    })

export interface DeviceGrant {
  /** Id of a named key, or `OPEN_KEY`. */
  readonly key: string
  /** User who has approved. */
  readonly by: string
  /** Beginning of the hash of the key with which a person has approved; the sign-in ends with it. '' for an operator's. */
  readonly proof: string
}

export interface SignedInDevice extends DeviceGrant, DeviceOrigin {
  readonly id: string
  readonly since: number
  readonly usedAt: number
  /** Hash of the one refresh token that is good. */
  readonly refreshHash: string
}

export interface DeviceState {
  /** Signs codes and tokens. */
  readonly secret: string
  /** By hash of the device code, oldest first. Bounded by `DEVICE_LIMITS.pending`. */
  readonly waiting: ReadonlyMap<string, WaitingDevice>
  /** By id. Bounded by `DEVICE_LIMITS.devices`. */
  readonly devices: ReadonlyMap<string, SignedInDevice>
  /** Sign-ins whose access tokens may not have expired, with the time at which they have. Bounded by `DEVICE_LIMITS.ended`. */
  readonly ended: ReadonlyMap<string, number>
  /** Access tokens issued up to this time are refused: more sign-ins have ended than are remembered. */
  readonly refusedUntil: number
}

export interface DeviceStep<Outcome> {
  /** State after the step; the same object if nothing has changed. */
  readonly state: DeviceState
  readonly outcome: Outcome
  /** Sign-ins that have to end even if the new state cannot be kept. */
  readonly ends?: readonly string[]
}

export function newDeviceState(secret: string): DeviceState {
  return { secret, waiting: new Map(), devices: new Map(), ended: new Map(), refusedUntil: 0 }
}

export interface DeviceRequest extends DeviceOrigin {
  readonly deviceCode: string
  readonly userCode: string
}

export type AskOutcome =
  | { readonly name: 'asked'; readonly expiresAt: number }
  /** Try with another user code. */
  | { readonly name: 'taken' }
  /** `waitMs`: until a code expires. */
  | { readonly name: 'full'; readonly isOwn: boolean; readonly waitMs: number }

/** Never pushes out the code of another. */
export function askStep(
  before: DeviceState,
  asked: DeviceRequest,
  now: number
): DeviceStep<AskOutcome> {
  const state = withoutExpired(before, now)
  const hash = secretHash(asked.deviceCode)
  const known = state.waiting.get(hash)
  if (known !== undefined) return { state, outcome: { name: 'asked', expiresAt: known.expiresAt } }
  const { deviceCode: _, userCode, ...facts } = asked
  const all = [...state.waiting.values()]
  if (all.length >= DEVICE_LIMITS.pending) return { state, outcome: fullOf(all, false, now) }
  const network = networkOf(facts.address)
  const own = all.filter(({ address }) => networkOf(address) === network)
  if (own.length >= DEVICE_LIMITS.pendingPerNetwork)
    return { state, outcome: fullOf(own, true, now) }
  if (all.some(({ code }) => code === userCode)) return { state, outcome: { name: 'taken' } }
  const expiresAt = now + DEVICE_LIMITS.codeMs
  const device = { ...facts, code: userCode, askedAt: now, expiresAt, decision: null }
  const waiting = new Map(state.waiting).set(hash, device)
  return { state: { ...state, waiting }, outcome: { name: 'asked', expiresAt } }
}

/** The oldest of them expires first. */
function fullOf([oldest]: readonly WaitingDevice[], isOwn: boolean, now: number): AskOutcome {
  return { name: 'full', isOwn, waitMs: Math.max(0, (oldest?.expiresAt ?? now) - now) }
}

/** `null` if no code that has not expired is this one. */
export function findWaiting(state: DeviceState, code: string, now: number): WaitingDevice | null {
  return findCode(withoutExpired(state, now), code)?.device ?? null
}

export type DecideOutcome =
  | { readonly name: 'done'; readonly device: WaitingDevice }
  | { readonly name: 'unknown' }
  | { readonly name: 'decided'; readonly decision: DeviceDecision }

/** Approves or denies a waiting device. A decision is never changed. */
export function decideStep(
  before: DeviceState,
  code: string,
  decision: DeviceDecision,
  now: number
): DeviceStep<DecideOutcome> {
  const state = withoutExpired(before, now)
  const found = findCode(state, code)
  if (found === null) return { state, outcome: { name: 'unknown' } }
  const { hash, device } = found
  if (device.decision !== null) {
    const isOwn = isSameApproval(device.decision, decision)
    if (isOwn) return { state, outcome: { name: 'done', device } }
    return { state, outcome: { name: 'decided', decision: device.decision } }
  }
  const decided = { ...device, decision }
  const waiting = new Map(state.waiting).set(hash, decided)
  return { state: { ...state, waiting }, outcome: { name: 'done', device: decided } }
}

export interface PollRequest {
  readonly deviceCode: string
  readonly clientId: string | null
  /** Id and first refresh token of the device, if it is signed in by this poll. */
  readonly deviceId: string
  readonly refreshToken: string
}

export interface DeviceTokens {
  readonly accessToken: string
  readonly refreshToken: string
  readonly expiresInMs: number
}

export type PollOutcome =
  | { readonly name: 'pending' }
  | { readonly name: 'denied' }
  | { readonly name: 'expired' }
  /** Never issued here, used before, or issued to another client. */
  | { readonly name: 'invalid' }
  | ({ readonly name: 'tokens'; readonly device: SignedInDevice } & DeviceTokens)

/** A key as steps see it. `unknown` may become known: another gateway of the fleet has just made it. */
export type KeyStanding = 'good' | 'refused' | 'unknown'
export type StandingOf = (grant: DeviceGrant) => KeyStanding

/** Signs the device in if it is approved. A device code is good for one sign-in. */
export function pollStep(
  before: DeviceState,
  poll: PollRequest,
  standingOf: StandingOf,
  now: number
): DeviceStep<PollOutcome> {
  const state = withoutExpired(before, now)
  const { deviceCode, clientId, deviceId: id, refreshToken } = poll
  const expiresAt = readDeviceCode(state.secret, deviceCode)
  const refreshHash = secretHash(refreshToken)
  const done = state.devices.get(id)
  if (done?.refreshHash === refreshHash) return { state, outcome: issue(state, done, poll, now) }
  if (expiresAt === null) return { state, outcome: { name: 'invalid' } }
  const hash = secretHash(deviceCode)
  const device = state.waiting.get(hash)
  if (device === undefined)
    return { state, outcome: { name: expiresAt <= now ? 'expired' : 'invalid' } }
  if (isOtherClient(device, clientId)) return { state, outcome: { name: 'invalid' } }
  const { decision } = device
  if (decision === null) return { state, outcome: { name: 'pending' } }
  if (decision.name === 'denied') return { state, outcome: { name: 'denied' } }
  const standing = standingOf(decision)
  if (standing === 'unknown') return { state, outcome: { name: 'pending' } }
  if (standing === 'refused') return { state, outcome: { name: 'denied' } }
  const { key, by, proof } = decision
  const { client, host, address } = device
  const facts = { clientId: device.clientId, client, host, address, key, by, proof }
  const signedIn = { ...facts, id, since: now, usedAt: now, refreshHash }
  const waiting = new Map(state.waiting)
  waiting.delete(hash)
  const room = withRoomFor({ ...state, waiting }, key, now)
  const devices = new Map(room.devices).set(id, signedIn)
  return { state: { ...room, devices }, outcome: issue(state, signedIn, poll, now) }
}

export interface RefreshRequest {
  readonly token: string
  readonly clientId: string | null
  readonly nextToken: string
}

export type RefreshOutcome =
  | ({ readonly name: 'tokens'; readonly device: SignedInDevice } & DeviceTokens)
  | { readonly name: 'invalid'; readonly why: 'unknown' | 'client' | 'key' }
  /** A token that was used before: a copy of it exists, so the sign-in has ended. */
  | { readonly name: 'invalid'; readonly why: 'reused'; readonly device: SignedInDevice }

export function refreshStep(
  before: DeviceState,
  { token, clientId, nextToken }: RefreshRequest,
  standingOf: StandingOf,
  now: number
): DeviceStep<RefreshOutcome> {
  const state = withoutExpired(before, now)
  const id = readRefreshToken(state.secret, token)
  const device = id === null ? undefined : state.devices.get(id)
  if (device === undefined) return { state, outcome: { name: 'invalid', why: 'unknown' } }
  const refreshHash = secretHash(nextToken)
  const next = { refreshToken: nextToken }
  if (device.refreshHash === refreshHash) {
    return { state, outcome: issue(state, device, next, now) }
  }
  if (device.refreshHash !== secretHash(token)) {
    const outcome = { name: 'invalid', why: 'reused', device } as const
    return { state: withoutDevices(state, [device.id], now), outcome }
  }
  if (isOtherClient(device, clientId)) {
    return { state, outcome: { name: 'invalid', why: 'client' } }
  }
  if (standingOf(device) !== 'good') return { state, outcome: { name: 'invalid', why: 'key' } }
  const renewed = { ...device, refreshHash, usedAt: now }
  const devices = new Map(state.devices).set(device.id, renewed)
  return { state: { ...state, devices }, outcome: issue(state, renewed, next, now) }
}

/** Ends sign-ins: their refresh tokens at once, their access tokens as soon as workers know. */
export function endStep(
  before: DeviceState,
  ids: Iterable<string>,
  now: number
): DeviceStep<readonly SignedInDevice[]> {
  const state = withoutExpired(before, now)
  const known = [...ids].map((id) => state.devices.get(id)).filter((one) => one !== undefined)
  if (known.length === 0) return { state, outcome: known }
  const ends = known.map(({ id }) => id)
  return { state: withoutDevices(state, ends, now), outcome: known, ends }
}

/** Drops what has expired. A clock that has gone back lengthens no code. */
export function withoutExpired(state: DeviceState, now: number): DeviceState {
  const { codeMs, unusedMs, accessMs, skewMs } = DEVICE_LIMITS
  const isLive = ({ expiresAt }: WaitingDevice): boolean =>
    expiresAt > now && expiresAt <= now + codeMs + skewMs
  const isUsed = ({ usedAt }: SignedInDevice): boolean => usedAt > now - unusedMs
  const isRemembered = (until: number): boolean => until > now
  const waiting = kept(state.waiting, isLive)
  const devices = kept(state.devices, isUsed)
  const ended = kept(state.ended, isRemembered)
  // A time far ahead was noted by a clock that was wrong, and would refuse every token.
  const refusedUntil = state.refusedUntil > now + accessMs + skewMs ? now : state.refusedUntil
  const isSame =
    waiting === state.waiting &&
    devices === state.devices &&
    ended === state.ended &&
    refusedUntil === state.refusedUntil
  return isSame ? state : { ...state, waiting, devices, ended, refusedUntil }
}

function kept<V>(
  map: ReadonlyMap<string, V>,
  isKept: (value: V) => boolean
): ReadonlyMap<string, V> {
  let isWhole = true
  for (const value of map.values()) isWhole &&= isKept(value)
  return isWhole ? map : new Map([...map].filter(([, value]) => isKept(value)))
}

function findCode(
  state: DeviceState,
  code: string
): { readonly hash: string; readonly device: WaitingDevice } | null {
  for (const [hash, device] of state.waiting) if (device.code === code) return { hash, device }
  return null
}

function isSameApproval(one: DeviceDecision, other: DeviceDecision): boolean {
  return one.name === 'approved' && other.name === 'approved' && one.mark === other.mark
}

/** A client that has named itself is known by that name; one that has not may begin to. */
function isOtherClient(device: Pick<WaitingDevice, 'clientId'>, clientId: string | null): boolean {
  return device.clientId !== null && clientId !== null && device.clientId !== clientId
}

function issue(
  { secret }: DeviceState,
  device: SignedInDevice,
  { refreshToken }: Pick<DeviceTokens, 'refreshToken'>,
  now: number
) {
  const { key, id } = device
  const expiresAt = now + DEVICE_LIMITS.accessMs
  const accessToken = makeAccessToken(secret, { key, device: id, expiresAt })
  const tokens = { accessToken, refreshToken, expiresInMs: DEVICE_LIMITS.accessMs }
  return { name: 'tokens', device, ...tokens } as const
}

/** Ends the sign-ins of the key, or of all, that were not used for longest. */
function withRoomFor(state: DeviceState, key: string, now: number): DeviceState {
  const all = [...state.devices.values()]
  const own = all.filter((device) => device.key === key)
  const isOwnFull = key !== OPEN_KEY && own.length >= DEVICE_LIMITS.devicesPerKey
  if (!isOwnFull && all.length < DEVICE_LIMITS.devices) return state
  const [oldest] = (isOwnFull ? own : all).toSorted((one, other) => one.usedAt - other.usedAt)
  return oldest === undefined ? state : withoutDevices(state, [oldest.id], now)
}

function withoutDevices(state: DeviceState, ids: readonly string[], now: number): DeviceState {
  const devices = new Map(state.devices)
  const ended = new Map(state.ended)
  let { refusedUntil } = state
  const until = now + DEVICE_LIMITS.accessMs + DEVICE_LIMITS.skewMs
  for (const id of ids) {
    devices.delete(id)
    ended.delete(id)
    ended.set(id, until)
  }
  while (ended.size > DEVICE_LIMITS.ended) {
    const [oldest] = ended.keys()
    if (oldest === undefined) break
    ended.delete(oldest)
    refusedUntil = now
  }
  return { ...state, devices, ended, refusedUntil }
}
