import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { monotonicNow } from '../../admission/clock.ts'
import { GOOD_STATUS } from '../../ipc/messages.ts'
import { BUILT_IN_CATALOGUE, type Catalogue } from '../../kiro/models/models.ts'
import { TokenGauges } from '../../kiro/tokens/token-gauge.ts'
import type { AccountUsage } from '../../kiro/wire/account-usage.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import { provesCredential, toGatewayError, type UpstreamFault } from '../../kiro/wire/fault.ts'
import type { Logger } from '../../observe/logger.ts'
import { GatewayError } from '../../shared/errors.ts'
import { type SingleFlight, singleFlight } from '../../shared/single-flight.ts'
import { setNewest } from '../../shared/newest.ts'
import {
  askModels,
  askUsage,
  findKeyRegion,
  hasOpenRegion,
  isFault,
  ModelsRefused
} from '../../upstream/call/account-calls.ts'
import { exchangeJson, type JsonCall } from '../../upstream/call/json-exchange.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import { type KeyTrials, NEW_KEYS_PLACE } from '../primary/key-trials.ts'
import { AccountClient, type CredentialClient } from '../primary/account-access.ts'
import { goneSignal } from './router.ts'

interface BroughtKey {
  readonly key: string
  readonly name: string
}

/** State of a key's account, by the key's name; the key itself is not stored. */
interface KeyAccount {
  readonly account: AccountClient
  readonly calibration: TokenGauges
  region: string | null
  /** Rejects if the key is refused. */
  readonly askRegion: SingleFlight<[BroughtKey], string | null>
  /** `performance.now()` of the next question. */
  regionDueAt: number
  catalogue: Catalogue
  /** Resolves with why the key is refused, if it is. Never rejects. */
  readonly askModels: SingleFlight<[BroughtKey, CredentialClient], GatewayError | null>
  /** `performance.now()` of the next question. */
  modelsDueAt: number
}

/** A forgotten account costs its next request a question. */
const MAX_ACCOUNTS = 256
/** Keys that are not accepted yet, which must not displace others. */
const MAX_NEW_ACCOUNTS = 64
/** Models whose counting is learnt of each account. */
const MAX_MODELS = 8
const MODELS_FRESH_MS = 3_600_000
/** Pause after an answer that said nothing. */
const RETRY_MS = 60_000
const DEFAULT_REGION = 'us-east-1'

/**
 * Connections and memory are shared; credential, refusals and models are the client's Kiro key's
 * (`KIRO_KEY_PASSTHROUGH`). The key is sent upstream with its client's requests, and nowhere else.
 */
export class PassthroughKeys {
  readonly #plane: DataPlane
  readonly #log: Pick<Logger, 'warn'>
  readonly #trials: KeyTrials
  readonly #vouch: (socket: Socket) => void
  /** Accepted keys, least recently used first. Bounded by MAX_ACCOUNTS. */
  readonly #accounts = new Map<string, KeyAccount>()
  /** Other keys. Bounded by MAX_NEW_ACCOUNTS. */
  readonly #newAccounts = new Map<string, KeyAccount>()

  constructor(plane: DataPlane, log: Pick<Logger, 'warn'>, vouch: (socket: Socket) => void) {
    this.#plane = plane
    this.#log = log
    this.#vouch = vouch
    this.#trials = plane.keyTrials
  }

  isAccepted({ name }: BroughtKey): boolean {
    return this.#trials.isAccepted(name)
  }

  /** Name for taking turns; new keys share one. */
  placeOf(key: BroughtKey): string {
    return this.isAccepted(key) ? key.name : NEW_KEYS_PLACE
  }

  planeOf(key: BroughtKey, response: AskedOn): DataPlane {
    const known = this.#accountOf(key)
    const { account, calibration } = known
    const credentials = this.#credentialOf(key, known, response)
    const own = { credentials, account, calibration, models: known }
    return { ...this.#plane, ...own }
  }

  /** A key is good from the upstream's first acceptance until a refusal: it is never renewed. */
  #credentialOf(key: BroughtKey, known: KeyAccount, response: AskedOn): CredentialClient {
    const trials = this.#trials
    let trial: Disposable | null = null
    response.once('close', () => trial?.[Symbol.dispose]())
    /** @throws {GatewayError} as `KeyTrials.admit()` */
    const admit = async (signal: AbortSignal): Promise<Disposable | null> => {
      const admitted = await trials.admit(key.name, signal)
      if (response.closed) admitted?.[Symbol.dispose]() // meanwhile
      signal.throwIfAborted()
      return admitted
    }
    const current = (): CredentialSnapshot => snapshotOf(key, known.region ?? DEFAULT_REGION)
    return {
      problem: null,
      current,
      usable: current,
      ready: async (signal) => {
        trial ??= await admit(signal)
        const region = known.region ?? (await this.#regionOf(key, known, signal))
        return snapshotOf(key, region)
      },
      renew: (_refused, _signal, isNamed) =>
        Promise.reject(isNamed ? trials.refuse(key.name) : keyDoubted()),
      accepted: () => {
        trials.accept(key.name)
        this.#vouch(response.req.socket)
      },
      // The account is its client's; the next request hears it again.
      reportSuspended: () => {}
    }
  }

  /**
   * Uses the built-in models if the key's cannot be known.
   * @throws {GatewayError} as `KeyTrials.admit()`, or GW_UPSTREAM_AUTH if the upstream refuses the key now
   */
  async planeWithModels(key: BroughtKey, response: ServerResponse): Promise<DataPlane> {
    const known = this.#accountOf(key)
    const plane = this.planeOf(key, response)
    if (performance.now() < known.modelsDueAt) return plane
    const signal = goneSignal(response)
    await plane.credentials.ready(signal)
    if (performance.now() < known.modelsDueAt) return plane // others have asked meanwhile
    const refusal = await known.askModels(key, plane.credentials)
    signal.throwIfAborted()
    if (refusal !== null) throw refusal
    return plane
  }

  /** Asks for all who wait, as the first may leave. Resolves with why the key is refused. Never rejects. */
  async #askModels(
    key: BroughtKey,
    known: KeyAccount,
    credentials: CredentialClient
  ): Promise<GatewayError | null> {
    const { signal: never } = new AbortController()
    try {
      const snapshot = await credentials.ready(never)
      const models = await askModels(this.#callAs(key, snapshot, never))
      this.#trials.accept(key.name)
      known.catalogue = { models, isLive: true }
      known.modelsDueAt = performance.now() + MODELS_FRESH_MS
      return null
    } catch (err) {
      const refusal = err instanceof ModelsRefused ? this.#judge(key, err.fault) : null
      if (refusal !== null) return refusal
      known.modelsDueAt = performance.now() + RETRY_MS
      this.#log.warn({ err }, 'model list of a client key unavailable, using the built-in list')
      return null
    }
  }

  /** @throws {GatewayError} why it cannot be known now */
  async usageOf(key: BroughtKey, response: ServerResponse): Promise<AccountUsage> {
    const signal = goneSignal(response)
    const snapshot = await this.planeOf(key, response).credentials.ready(signal)
    const answer = await askUsage(this.#callAs(key, snapshot, signal))
    if (!isFault(answer)) {
      this.#trials.accept(key.name)
      return answer
    }
    throw this.#judge(key, answer) ?? toGatewayError(answer)
  }

  /** Returns an error only if the key is refused: a good key may be refused this question. */
  #judge({ name }: BroughtKey, fault: UpstreamFault): GatewayError | null {
    if (fault.isTokenNamed) return this.#trials.refuse(name)
    if (provesCredential(fault)) this.#trials.accept(name)
    return null
  }

  async #regionOf(key: BroughtKey, known: KeyAccount, signal: AbortSignal): Promise<string> {
    const { credentials, upstream } = this.#plane.current.config
    const { apiRegion } = credentials
    if (apiRegion !== null || !hasOpenRegion(upstream)) {
      known.region = apiRegion ?? DEFAULT_REGION
      return known.region
    }
    const isDue = performance.now() >= known.regionDueAt
    if (known.askRegion.running === null && !isDue) return DEFAULT_REGION
    known.region = await known.askRegion(key)
    signal.throwIfAborted()
    return known.region ?? DEFAULT_REGION
  }

  /**
   * Asks for all who wait, as the first may leave.
   * @throws {GatewayError} GW_UPSTREAM_AUTH if the upstream refuses the key
   */
  async #askRegion(key: BroughtKey): Promise<string | null> {
    const { signal: never } = new AbortController()
    const found = await findKeyRegion(this.#callAs(key, snapshotOf(key, DEFAULT_REGION), never))
    if (found === null) return null
    const { region, answer } = found
    if (!isFault(answer)) this.#trials.accept(key.name)
    else {
      const refusal = this.#judge(key, answer)
      if (refusal !== null) throw refusal
    }
    return region
  }

  #callAs(key: BroughtKey, snapshot: CredentialSnapshot, signal: AbortSignal) {
    const { lease, pool } = this.#plane
    const call: JsonCall = async (request) => {
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMs)])
      const waiter = { key: this.placeOf(key), arrivedAt: monotonicNow() }
      const permit = await lease.acquire(waiter, deadline)
      return exchangeJson({ pool, permit, request, signal: deadline })
    }
    return { call, upstream: this.#plane.current.config.upstream, snapshot, signal }
  }

  #accountOf({ name }: BroughtKey): KeyAccount {
    const known = this.#accounts.get(name) ?? this.#newAccounts.get(name) ?? this.#newAccount()
    const isAccepted = this.#trials.isAccepted(name)
    this.#accounts.delete(name)
    this.#newAccounts.delete(name)
    const [accounts, most] = isAccepted
      ? ([this.#accounts, MAX_ACCOUNTS] as const)
      : ([this.#newAccounts, MAX_NEW_ACCOUNTS] as const)
    setNewest(accounts, most, name, known)
    return known
  }

  #newAccount(): KeyAccount {
    const known: KeyAccount = {
      calibration: new TokenGauges(MAX_MODELS),
      account: new AccountClient({
        channel: { send: () => {} }, // the primary has no part in it
        status: GOOD_STATUS,
        // Other accounts go on; this one's waiters learn of it in their turn.
        pause: () => {},
        refuseWaiting: () => {}
      }),
      region: null,
      askRegion: singleFlight(
        (key) => this.#askRegion(key),
        () => {
          known.regionDueAt = performance.now() + RETRY_MS
        }
      ),
      regionDueAt: 0,
      catalogue: BUILT_IN_CATALOGUE,
      askModels: singleFlight((key, credentials) => this.#askModels(key, known, credentials)),
      modelsDueAt: 0
    }
    return known
  }
}

/** A refusal without a reason may not be about the key: its next request is sent, too. */
function keyDoubted(): GatewayError {
  const message =
    'The upstream refused the request without a body, so the reason is unknown. If other requests with this Kiro API key fail, too, make a new key in Kiro.'
  return new GatewayError('GW_UPSTREAM_AUTH', undefined, { message })
}

/** The client's end of a request. */
export type AskedOn = Pick<ServerResponse, 'closed'> & {
  readonly req: Pick<IncomingMessage, 'socket'>
  once(event: 'close', listener: () => void): unknown
}

function snapshotOf({ key, name }: BroughtKey, apiRegion: string): CredentialSnapshot {
  return {
    id: name,
    token: key,
    tokenType: 'API_KEY',
    authType: 'api-key',
    profileArn: null,
    apiRegion,
    expiresAt: null
  }
}
