import { monotonicNow, type WaitClock } from '../../admission/clock.ts'
import type { AcquireOptions, Permit } from '../../admission/lease.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import {
  type FormParty,
  hostsFor,
  type RequestForm,
  type RuntimeOperation,
  type UpstreamHost
} from '../../kiro/wire/hosts.ts'
import { provesCredential, type UpstreamFault } from '../../kiro/wire/fault.ts'
import type { GatewayError } from '../../shared/errors.ts'
import {
  type Approach,
  type ApproachFailure,
  nextApproach,
  PLAIN_APPROACH
} from '../../upstream/call/retry.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { KeyStream } from '../primary/key-limits.ts'
import type { Progress } from '../worker/open-turns.ts'
import type { AccountClient } from '../primary/account-access.ts'

export interface PermitWait {
  readonly waiter: AcquireOptions
  readonly stream: KeyStream | null
  readonly waited: WaitClock
  readonly progress: Progress
  readonly signal: AbortSignal
}

/**
 * HTTP_POOL_TIMEOUT bounds all waits of a request together.
 * @throws {GatewayError} as `Lease.acquire()`; if the upstream is paused
 */
export async function acquirePermit(
  plane: Pick<DataPlane, 'lease' | 'metrics'> & {
    readonly account: Pick<AccountClient, 'problemOf'>
  },
  { waiter, stream, waited, progress, signal }: PermitWait
): Promise<Permit> {
  const known = plane.account.problemOf(waiter.key)
  if (known !== null) throw known
  const { lease } = plane
  const startedAt = monotonicNow()
  const pausedBefore = lease.pausedMs
  const waitsFor = lease.isPacing ? 'pace' : 'queue'
  progress.beginWait()
  try {
    const arrivedAt = waited.resume(startedAt)
    const permit = await lease.acquire({ ...waiter, arrivedAt }, signal)
    const problem = plane.account.problemOf(waiter.key) // it may have come up meanwhile
    if (problem === null) return stream?.holdFor(permit) ?? permit
    permit.release()
    throw problem
  } finally {
    const now = monotonicNow()
    waited.stop(now)
    progress.endWait(waitsFor, lease.pausedMs - pausedBefore)
    plane.metrics.waitSeconds.observe((now - startedAt) / 1000)
  }
}

/**
 * The credential may have been renewed or expired during the wait.
 * @throws {GatewayError} as `acquirePermit()`; why there is no credential
 */
export async function acquireFor(
  way: CallWay,
  plane: Parameters<typeof acquirePermit>[0],
  wait: PermitWait
): Promise<Permit> {
  for (;;) {
    if (!way.useNewest()) await way.ready(wait.signal)
    const permit = await acquirePermit(plane, wait)
    if (way.useNewest()) return permit
    permit.release() // a permit is not held without a request to send
  }
}

type CallPlane = Pick<DataPlane, 'credentials' | 'account' | 'current' | 'forms'>

export class CallWay {
  readonly #plane: CallPlane
  readonly #operation: RuntimeOperation
  #snapshot: CredentialSnapshot
  #approach = PLAIN_APPROACH
  /** The form written first; chosen late, as it may be learnt meanwhile. */
  #firstForm: RequestForm | null = null
  #firstFailure: ApproachFailure | null = null

  /** @throws {GatewayError} why there is no credential */
  constructor(plane: CallPlane, operation: RuntimeOperation) {
    this.#plane = plane
    this.#operation = operation
    this.#snapshot = plane.credentials.current()
  }

  /** Like the constructor, but waits for a token that is being renewed. */
  static async open(
    plane: CallPlane,
    operation: RuntimeOperation,
    signal: AbortSignal
  ): Promise<CallWay> {
    await plane.credentials.ready(signal)
    return new CallWay(plane, operation)
  }

  get snapshot(): CredentialSnapshot {
    return this.#snapshot
  }

  get approach(): Approach {
    return this.#approach
  }

  get host(): UpstreamHost {
    const hosts = this.#hosts()
    const host = hosts[this.#approach.hostIndex] ?? hosts[0]
    if (host === undefined) throw new Error('there is no upstream host')
    return host
  }

  /** @throws {GatewayError} why there is no credential */
  async ready(signal: AbortSignal): Promise<void> {
    this.#snapshot = await this.#plane.credentials.ready(signal)
  }

  useNewest(): boolean {
    const newest = this.#plane.credentials.usable()
    if (newest === null) return false
    this.#snapshot = newest
    return true
  }

  get form(): RequestForm {
    const party = this.#party
    if (party.host.kind === 'q') return 'path'
    this.#firstForm ??= this.#plane.forms.first(party)
    if (!this.#approach.isOtherForm) return this.#firstForm
    return this.#firstForm === 'path' ? 'target' : 'path'
  }

  /** Status 200. */
  accepted(): void {
    this.#plane.credentials.accepted(this.#snapshot)
    this.#plane.forms.accepted(this.#party, this.form, this.#approach.isOtherForm)
  }

  /** Notes what a refusal says of the sign-in and its account, and returns the client's error. */
  heed(error: GatewayError, fault: UpstreamFault | null): GatewayError {
    const { credentials, account } = this.#plane
    if (fault !== null && provesCredential(fault)) credentials.accepted(this.#snapshot)
    return account.heed(error, fault)
  }

  /** The failure to report: if both forms were refused, that of the first. */
  told<F extends ApproachFailure>(failure: F): F | ApproachFailure {
    const isRefusal =
      (failure.formSign ?? null) !== null || failure.error.code === 'GW_UPSTREAM_REFUSED'
    return isRefusal ? (this.#firstFailure ?? failure) : failure
  }

  /** Finds another way after a failure; `null` if there is none. Call once per failure. */
  after(failure: ApproachFailure): Approach | null {
    const { formSign = null } = failure
    return nextApproach(this.#approach, failure, {
      hosts: this.#hosts().length,
      hasProfile: this.#snapshot.profileArn !== null,
      hasOtherForm:
        formSign !== null &&
        this.#firstFailure === null &&
        this.#plane.forms.mayBeWrong(this.#party, this.form, formSign)
    })
  }

  /** @throws {GatewayError} if another token is needed and there is none; the signal's reason */
  async take(next: Approach, failure: ApproachFailure, signal: AbortSignal): Promise<void> {
    if (next.isOtherForm && !this.#approach.isOtherForm) this.#firstFailure = failure
    if (next.hasRenewedToken && !this.#approach.hasRenewedToken) {
      const { isTokenNamed = false } = failure
      this.#snapshot = await this.#plane.credentials.renew(this.#snapshot, signal, isTokenNamed)
    }
    this.#approach = next
  }

  /** Has a refused token renewed for later requests, where this one is over. */
  report({ remedy, isTokenNamed = false }: ApproachFailure): void {
    if (remedy !== 'refresh-token' || this.#approach.hasRenewedToken) return
    const { signal } = new AbortController() // it outlives its request
    // Why there is no other is told to the next request.
    this.#plane.credentials.renew(this.#snapshot, signal, isTokenNamed).catch(() => {})
  }

  get #party(): FormParty {
    return { host: this.host, authType: this.#snapshot.authType, operation: this.#operation }
  }

  #hosts(): readonly UpstreamHost[] {
    return hostsFor(this.#snapshot, this.#plane.current.config.upstream)
  }
}
