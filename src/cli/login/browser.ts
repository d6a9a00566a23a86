import {
  BROWSER_PATIENCE_MS,
  BrowserLogin,
  type Callback,
  type SocialProvider
} from '../../credentials/login/browser-login.ts'
import type { SignInServiceOptions } from '../../credentials/login/sign-in-service.ts'
import type { NewSignIn } from '../../credentials/own-sign-in.ts'
import { GatewayError, unlessAborted } from '../../shared/errors.ts'
import { type CommandCall, UsageError } from '../command.ts'
import { type CallbackPage, listenForBrowser } from './callback-server.ts'
import { Countdown } from './countdown.ts'
import { browserHint, openBrowser } from './open-browser.ts'

export interface BrowserWay {
  readonly provider: SocialProvider
  readonly port: number
  readonly isPasted: boolean
}

/**
 * Signs in by a browser here or, with the address pasted, anywhere. The first matching address ends it.
 * @throws {GatewayError} GW_LOGIN_EXPIRED, GW_LOGIN_DENIED, and what `BrowserLogin.redeem()` throws
 */
export async function loginByBrowser(
  call: CommandCall,
  way: BrowserWay,
  service: SignInServiceOptions
): Promise<NewSignIn> {
  const { terminal, signal } = call
  const outcome = Promise.withResolvers<NewSignIn>()
  outcome.promise.catch(() => {}) // it may be over before it is awaited
  let login = new BrowserLogin(way.provider, way.port)
  let attempt: Promise<CallbackPage> | null = null

  const onCallback = async (address: string): Promise<CallbackPage> => {
    const callback = login.readCallback(address)
    if (callback.name === 'foreign') return refusedPage(callback.problem)
    attempt ??= finish(login, callback, service, outcome) // a reload of the page changes nothing
    return attempt
  }

  await using server = way.isPasted ? null : await listenForBrowser(way.port, onCallback)
  if (server !== null && server.port !== way.port)
    login = new BrowserLogin(way.provider, server.port)
  const canPaste = way.isPasted || terminal.isInteractive
  if (server === null && !canPaste) {
    throw new UsageError(
      `port ${way.port}, to which the browser returns, is in use: stop the program that listens there, or use --paste`
    )
  }
  const until = Date.now() + BROWSER_PATIENCE_MS
  showLink(call, login.url, until)
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(BROWSER_PATIENCE_MS)])
  using countdown = canPaste ? null : new Countdown(terminal, 'Waiting for the browser')
  countdown?.start(until)
  if (canPaste) {
    const { url } = login
    void askForAddress(call, { onCallback, isAlone: server === null, url }).catch(outcome.reject)
  }
  return await unlessAborted(outcome.promise, deadline).catch((cause: unknown) => {
    signal.throwIfAborted()
    throw deadline.aborted ? new GatewayError('GW_LOGIN_EXPIRED', undefined, { cause }) : cause
  })
}

function showLink({ terminal, isJson }: CommandCall, url: string, until: number): void {
  if (isJson) {
    const expiresAt = new Date(until).toISOString()
    terminal.write(JSON.stringify({ event: 'open', url, expiresAt }))
  } else {
    terminal.write(`Open this link in a browser and sign in:\n\n  ${url}\n`)
  }
}

async function finish(
  login: BrowserLogin,
  callback: Exclude<Callback, { name: 'foreign' }>,
  service: SignInServiceOptions,
  outcome: PromiseWithResolvers<NewSignIn>
): Promise<CallbackPage> {
  try {
    if (callback.name === 'failed') throw callback.error
    outcome.resolve(await login.redeem(callback, service))
    return { status: 200, title: 'Signed in', text: 'You may close this window.' }
  } catch (cause) {
    outcome.reject(cause)
    return { status: 502, title: 'Not signed in', text: 'See the terminal for the reason.' }
  }
}

function refusedPage(problem: string): CallbackPage {
  return { status: 400, title: 'Not signed in', text: problem }
}

interface AddressQuestion {
  readonly onCallback: (address: string) => Promise<CallbackPage>
  /** The address cannot arrive otherwise. */
  readonly isAlone: boolean
  /** Opened by an empty answer. */
  readonly url: string
}

/** Repeats until an address fits. @throws {UsageError} without a terminal. */
async function askForAddress(call: CommandCall, question: AddressQuestion): Promise<void> {
  const { terminal, signal } = call
  const { onCallback, isAlone, url } = question
  const opens = browserHint(call, url)
  if (opens !== null) terminal.note(opens)
  const hint = isAlone
    ? 'At the end the browser shows'
    : 'If the browser runs on another machine, it shows at the end'
  terminal.note(
    `${hint} a page that cannot be opened. Copy the address of that page, http://localhost:…`
  )
  for (;;) {
    const address = await terminal.ask('Address:')
    if (signal.aborted) return
    if (address === '') {
      if (opens !== null) openBrowser(call, url)
      continue
    }
    const { status, text } = await onCallback(address)
    if (status !== 400) return
    terminal.note(`That address does not work. ${text}`)
  }
}
