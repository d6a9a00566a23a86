/* Form for a key: an operator's opens the page, a named key its person's own. The key is sent once and kept nowhere. */
import { ApiProblem, Change } from './api.js'
import { html, nothing } from './lit.js'
import { duration } from './format.js'
import { copyable, field, formProblem } from './parts.js'
import { state } from './state.js'

/** @typedef {import('./contract.d.ts').Session} Session */

export const NEW_OPERATOR_KEY = 'npx kiro-gateway key new --write'

const SIGN_OUT_MS = 10_000

const signing = new Change()

/** Why a sign-in with an organisation has failed, by the word in the address. */
const REASONS = new Map([
  [
    'unavailable',
    "Your organisation's sign-in does not answer. Try again in a minute, or use a key. The gateway's log says why."
  ],
  ['denied', 'The sign-in was refused or cancelled at your organisation.'],
  [
    'not-allowed',
    'Your account may not operate this gateway. Ask its operator to add your e-mail address to DASHBOARD_OPERATORS, or use your own key.'
  ],
  [
    'unverified',
    'Your organisation has not verified your e-mail address, so it does not count. Ask the operator to admit a group of yours (DASHBOARD_OIDC_GROUPS).'
  ],
  ['often', 'Too many sign-ins from your network are under way. Wait a moment, then start again.'],
  ['stale', 'This sign-in took too long or was begun in another window. Start it again.']
])

const OTHER_REASON = "The sign-in did not succeed. Try again. The gateway's log says why."

/** @param {(session: Session) => void} onSignedIn */
export function signInForm(onSignedIn) {
  const { session } = state
  const none = 'This gateway has only named keys. Set PROXY_API_KEY to get an operator key.'
  const failed = new URLSearchParams(location.search).get('sign-in')
  return html`<form class="card sign-in" id="sign-in" aria-label="Sign in" @submit=${(
    /** @type {SubmitEvent} */ event
  ) => signing.submit(event, async ({ key = '' }) => onSignedIn(await signIn(key)))}>
    <h2>Sign in</h2>
    <p class="note">With an operator key (<code>PROXY_API_KEY</code>), or with your own key to see what you have used. You stay signed in for 12 hours.</p>
    ${failed === null ? nothing : html`<p class="problem" role="alert">${REASONS.get(failed) ?? OTHER_REASON}</p>`}
    <input type="text" name="username" autocomplete="username" value="operator" hidden>
    ${field(signing, { name: 'key', label: 'Key', type: 'password', isRequired: true, autocomplete: 'current-password' })}
    ${formProblem(signing, ['key'])}
    ${session?.canSignIn === false ? html`<p class="note">${none}</p>` : nothing}
    <button class="primary" ?disabled=${signing.isBusy}>Sign in</button>
    <details><summary>No key?</summary>
      <p class="note">Ask the operator for one. If that is you, run this in the folder of the gateway:</p>
      ${copyable(NEW_OPERATOR_KEY, 'the command')}
      <p class="note">It prints the key. Then send the gateway SIGHUP, by <code>kill -HUP</code> or <code>docker kill -s HUP</code>: it reads its settings again, without a restart.</p></details>
    ${session?.ways?.includes('oidc') === true ? html`<a class="quiet" href="dashboard/oidc">Sign in with your organisation</a>` : nothing}
  </form>`
}

/**
 * @param {string} key
 * @returns {Promise<Session>}
 */
async function signIn(key) {
  const response = await fetch('dashboard/session', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ key })
  }).catch(() => {
    throw new ApiProblem(0, '', 'The gateway does not answer. Is it running?')
  })
  const body = await response.json().catch(() => null)
  if (response.ok) return body
  const seconds = Number(response.headers.get('retry-after'))
  const wait =
    response.status === 429 && seconds > 0 ? ` Try again in ${duration(seconds * 1000)}.` : ''
  const said = body?.error?.message ?? `Refused with status ${response.status}.`
  throw new ApiProblem(response.status, '', said + wait, 'key')
}

/** Ends the session, and goes on to the provider that had begun it. A gateway that does not answer has not ended it. */
export async function signOut() {
  const url = state.session?.signOutUrl ?? null
  const signal = AbortSignal.timeout(SIGN_OUT_MS)
  const isOut = await fetch('dashboard/session', { method: 'DELETE', signal }).then(
    ({ ok }) => ok,
    () => false
  )
  if (!isOut) return
  if (url !== null) location.assign(url)
}
