import type { Environment, InspectedConfig } from '../../../config/load.ts'
import type { Config } from '../../../config/settings.ts'
import type { CredentialSnapshot } from '../../../kiro/wire/credential-snapshot.ts'
import { unlessAborted } from '../../../shared/errors.ts'
import { type DoctorFinding, found } from './finding.ts'
import { type KnownSignIn, readSignIn, withProfile } from './known-sign-in.ts'
import type { CommandCall } from '../../command.ts'
import { Network, type NetworkLimits } from '../../network.ts'
import type { Visit } from './visit.ts'
import { usedHosts, visitHost } from './visits.ts'

export interface Check {
  readonly id: string
  readonly title: string
  /** Rejects only for a bug. */
  run(checkup: Checkup): Promise<readonly DoctorFinding[]>
  readonly timeoutMs?: number
}

/** Wrong settings have their defaults. */
export interface CheckupOptions extends InspectedConfig, Pick<CommandCall, 'env' | 'signal'> {}

/** Name servers fail after 5 s: they must be named as the cause, not the connection. */
export const DOCTOR_LIMITS: NetworkLimits = { connectTimeoutMs: 7_000, keepaliveExpiryMs: null }

/** State shared by the checks of one run. Slow work is done once, on demand. */
export class Checkup implements AsyncDisposable {
  readonly env: Environment
  readonly config: Config
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
  readonly signal: AbortSignal
  readonly network: Network
  #signIn: Promise<KnownSignIn> | null = null
  #known: KnownSignIn | null = null
  #account: Promise<CredentialSnapshot | null> | null = null
  #visits: Promise<readonly Visit[]> | null = null

  constructor({ env, config, problems, warnings, signal }: CheckupOptions) {
    this.env = env
    this.config = config
    this.problems = problems
    this.warnings = warnings
    this.signal = signal
    this.network = new Network(config, DOCTOR_LIMITS)
  }

  signIn(): Promise<KnownSignIn> {
    this.#signIn ??= readSignIn(this.config).then((known) => {
      this.#known = known
      return known
    })
    return this.#signIn
  }

  get knownSignIn(): KnownSignIn | null {
    return this.#known
  }

  /** With its profile if known; `null` without a valid token. */
  account(): Promise<CredentialSnapshot | null> {
    this.#account ??= this.signIn().then(({ snapshot }) =>
      snapshot === null ? null : withProfile(snapshot, this)
    )
    return this.#account
  }

  visits(): Promise<readonly Visit[]> {
    this.#visits ??= this.#visitAll()
    return this.#visits
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.network.close()
  }

  async #visitAll(): Promise<readonly Visit[]> {
    const hosts = await usedHosts(this)
    return Promise.all(hosts.map((host) => visitHost(host, this)))
  }
}

export interface CheckResult {
  readonly check: Pick<Check, 'id' | 'title'>
  readonly findings: readonly DoctorFinding[]
}

const CHECK_TIMEOUT_MS = 20_000

/** Runs all checks at once, each within its time. Rejects only when the checkup's signal aborts. */
export async function runChecks(
  checks: readonly Check[],
  checkup: Checkup,
  onProgress: (running: readonly Check[]) => void
): Promise<readonly CheckResult[]> {
  const running = new Set(checks)
  onProgress([...running])
  const results = await Promise.all(
    checks.map(async (check) => {
      const findings = await runCheck(check, checkup)
      running.delete(check)
      onProgress([...running])
      return { check, findings }
    })
  )
  checkup.signal.throwIfAborted()
  return results
}

async function runCheck(check: Check, checkup: Checkup): Promise<readonly DoctorFinding[]> {
  const { title, timeoutMs = CHECK_TIMEOUT_MS } = check
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), timeoutMs)
  try {
    const signal = AbortSignal.any([checkup.signal, late.signal])
    return await unlessAborted(check.run(checkup), signal)
  } catch (cause) {
    if (checkup.signal.aborted) return []
    if (late.signal.aborted) {
      return [found('check-late', `"${title}" has not ended within ${timeoutMs / 1000} s.`)]
    }
    const name = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
    return [found('check-failed', `"${title}" could not be checked: ${name}`)]
  } finally {
    clearTimeout(timer)
  }
}
