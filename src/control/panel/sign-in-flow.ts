import { randomUUID } from 'node:crypto'
import {
  BROWSER_PATIENCE_MS,
  BrowserLogin,
  CALLBACK_PORT,
  type SocialProvider
} from '../../credentials/login/browser-login.ts'
import { loginByDeviceCode } from '../../credentials/login/device-login.ts'
import type { SignInServiceOptions } from '../../credentials/login/sign-in-service.ts'
import type { NewSignIn } from '../../credentials/own-sign-in.ts'
import { asGatewayError, GatewayError } from '../../shared/errors.ts'
import { toIso } from '../../shared/dates.ts'
import { panelError } from './panel-answer.ts'

export type SignInWay =
  | {
      readonly provider: 'builder-id' | 'organisation'
      readonly startUrl: string
      readonly region: string
    }
  | { readonly provider: SocialProvider }

export interface SignInFlowOptions {
  readonly way: SignInWay
  readonly service: Omit<SignInServiceOptions, 'signal'>
  /** Keeps the new sign-in and puts it in force. */
  readonly save: (signIn: NewSignIn) => Promise<void>
  /** The gateway uses another source until it is started again. */
  readonly isRestartNeeded: boolean
}

type FlowState = 'starting' | 'waiting' | 'saving' | 'done' | 'failed' | 'cancelled' | 'expired'

/** One sign-in to Kiro that was begun in the panel: shown until the next one begins. */
export class SignInFlow {
  readonly id = randomUUID()
  readonly #options: SignInFlowOptions
  readonly #abort = new AbortController()
  readonly #shown = Promise.withResolvers<void>()
  readonly #browser: BrowserLogin | null = null
  #state: FlowState = 'starting'
  #url: string | null = null
  #userCode: string | null = null
  #expiresAt: number | null = null
  #problem: string | null = null
  #isRedeeming = false
  #timer: NodeJS.Timeout | null = null

  constructor(options: SignInFlowOptions) {
    this.#options = options
    const { way } = options
    if ('startUrl' in way) {
      void this.#byDevice(way) // never rejects
      return
    }
    this.#browser = new BrowserLogin(way.provider, CALLBACK_PORT)
    this.#wait(this.#browser.url, Date.now() + BROWSER_PATIENCE_MS)
    this.#timer = setTimeout(() => this.#end('expired', EXPIRED), BROWSER_PATIENCE_MS).unref()
  }

  get isRunning(): boolean {
    return this.#state === 'saving' || this.#canEndEarly
  }

  get #canEndEarly(): boolean {
    return this.#state === 'starting' || this.#state === 'waiting'
  }

  /** Resolves when there is a link to show, or the flow is over. */
  get shown(): Promise<void> {
    return this.#shown.promise
  }

  /** Returns false if it is too late: the sign-in is over or being saved. */
  cancel(): boolean {
    if (!this.#canEndEarly) return false
    this.#end('cancelled', null)
    this.#abort.abort(new GatewayError('GW_LOGIN_DENIED'))
    return true
  }

  /** Takes the address at which a browser has ended. @throws {GatewayError} GW_FIELD_INVALID, GW_CONFLICT */
  async paste(address: string): Promise<void> {
    const browser = this.#browser
    if (browser === null || !this.#canEndEarly || this.#isRedeeming)
      throw panelError('GW_CONFLICT', 'No sign-in waits for an address.')
    const callback = browser.readCallback(address)
    if (callback.name === 'foreign')
      throw panelError('GW_FIELD_INVALID', callback.problem, 'address')
    this.#isRedeeming = true
    try {
      if (callback.name === 'failed') throw callback.error
      const { service } = this.#options
      const signal = this.#abort.signal
      await this.#keep(await browser.redeem(callback, { ...service, signal }))
    } catch (cause) {
      this.#fail(cause)
    }
  }

  toJson() {
    const { way, isRestartNeeded } = this.#options
    return {
      id: this.id,
      provider: way.provider,
      state: this.#state,
      url: this.#url,
      user_code: this.#userCode,
      expires_at: toIso(this.#expiresAt),
      problem: this.#problem,
      needs_paste: this.#browser !== null && this.#canEndEarly,
      restart_needed: this.#state === 'done' && isRestartNeeded,
      sentence: this.#sentence()
    }
  }

  /** Never rejects. */
  async #byDevice({
    startUrl,
    region
  }: Extract<SignInWay, { readonly startUrl: string }>): Promise<void> {
    try {
      const signIn = await loginByDeviceCode({
        ...this.#options.service,
        startUrl,
        region,
        signal: this.#abort.signal,
        onCode: ({ url, userCode, expiresAt }) => {
          this.#userCode = userCode
          this.#wait(url, expiresAt)
        },
        onProblem: (error) => {
          this.#problem = error?.message ?? null
        }
      })
      await this.#keep(signIn)
    } catch (cause) {
      this.#fail(cause)
    }
  }

  #wait(url: string, expiresAt: number): void {
    this.#url = url
    this.#expiresAt = expiresAt
    this.#state = 'waiting'
    this.#shown.resolve()
  }

  async #keep(signIn: NewSignIn): Promise<void> {
    if (!this.#canEndEarly) return // cancelled meanwhile
    this.#state = 'saving'
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#options.save(signIn)
    this.#end('done', null)
  }

  #fail(cause: unknown): void {
    if (!this.isRunning) return
    const error = asGatewayError(cause)
    this.#end(error.code === 'GW_LOGIN_EXPIRED' ? 'expired' : 'failed', error.message)
  }

  #end(state: FlowState, problem: string | null): void {
    this.#state = state
    this.#problem = problem
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#shown.resolve()
  }

  #sentence(): string {
    switch (this.#state) {
      case 'starting':
        return 'Asking Kiro for a code.'
      case 'waiting':
        return this.#browser === null
          ? 'Open the link and confirm the code.'
          : 'Open the link and sign in. At the end the browser shows a page that cannot be opened: paste its address here.'
      case 'saving':
        return 'The sign-in is confirmed and is being saved.'
      case 'done':
        return this.#options.isRestartNeeded
          ? 'Signed in. Restart the gateway to use it: until then the simulator, or another sign-in, is used.'
          : 'Signed in. Requests use it from now on.'
      case 'cancelled':
        return 'The sign-in was cancelled.'
      case 'expired':
      case 'failed':
        return this.#problem ?? 'The sign-in has failed.'
    }
  }
}

const EXPIRED = 'The sign-in was not finished in time. Start again.'
