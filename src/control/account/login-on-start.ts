import type { Config } from '../../config/settings.ts'
import {
  BUILDER_ID,
  loginByDeviceCode,
  readStartUrl
} from '../../credentials/login/device-login.ts'
import { saveSignIn } from '../../credentials/own-sign-in.ts'
import { WALL_CLOCK, type WallClock } from '../../credentials/renew.ts'
import type { Logger } from '../../observe/logger.ts'
import { asGatewayError } from '../../shared/errors.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'

export interface LoginOnStartOptions {
  readonly call: JsonCall
  readonly config: Pick<Config, 'credentials' | 'upstream'>
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly clock?: Pick<WallClock, 'now' | 'sleep'>
}

const MIN_PAUSE_MS = 1000
const FIRST_PAUSE_MS = 5000
const MAX_PAUSE_MS = 300_000

/** Signs in through the log (`LOGIN_ON_START`): shows a link and a code, and new ones after they expire. */
export class LoginOnStart {
  readonly #options: LoginOnStartOptions
  #attempt: { readonly ended: Promise<void>; readonly abort: AbortController } | null = null

  constructor(options: LoginOnStartOptions) {
    this.#options = options
  }

  /** Does nothing while a sign-in is pending. */
  start(): void {
    if (this.#attempt !== null) return
    const abort = new AbortController()
    const ended = this.#run(abort.signal).finally(() => {
      this.#attempt = null
    })
    this.#attempt = { ended, abort }
  }

  /** A code on display may still be confirmed, without effect. */
  async stop(): Promise<void> {
    this.#attempt?.abort.abort()
    await this.#attempt?.ended
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { log, clock = WALL_CLOCK } = this.#options
    let failures = 0
    while (!signal.aborted) {
      try {
        await this.#signIn(clock, signal)
        return
      } catch (cause) {
        if (signal.aborted) return
        const err = asGatewayError(cause)
        const isExpired = err.code === 'GW_LOGIN_EXPIRED'
        failures = isExpired ? 0 : failures + 1
        const pauseMs = isExpired ? MIN_PAUSE_MS : pauseAfter(failures)
        if (isExpired) log.warn('the code has expired, a new one follows')
        else log.warn({ err, pauseMs }, 'not signed in, trying again')
        await clock.sleep(pauseMs, signal).catch(() => {}) // stopped: the loop ends
      }
    }
  }

  async #signIn(clock: Pick<WallClock, 'now' | 'sleep'>, signal: AbortSignal): Promise<void> {
    const { call, config, log } = this.#options
    const { loginStartUrl, region, stateDir } = config.credentials
    const place =
      loginStartUrl === null
        ? BUILDER_ID
        : { startUrl: readStartUrl(loginStartUrl, 'LOGIN_START_URL'), region }
    const signIn = await loginByDeviceCode({
      ...place,
      call,
      upstream: config.upstream,
      clock,
      signal,
      onCode: ({ url, userCode, verificationUrl, expiresAt }) => {
        const until = new Date(expiresAt).toISOString()
        const facts = { url, userCode, verificationUrl, until }
        log.warn(facts, 'not signed in: open the link in a browser and confirm the code')
      },
      onProblem: (err) => {
        if (err !== null)
          log.warn({ err }, 'cannot check whether the code was confirmed, trying again')
      }
    })
    const path = await saveSignIn(stateDir, signIn, clock.now())
    log.info({ path, provider: signIn.provider }, 'signed in')
  }
}

function pauseAfter(failures: number): number {
  return Math.min(FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 10), MAX_PAUSE_MS)
}
