/* Sign-in to Kiro by device code: start it, see how far it is, cancel it, sign out. */
import { ApiProblem, Change, get, Loaded, post } from './api.js'
import { html, nothing } from './lit.js'
import {
  actButton,
  choice,
  copyable,
  field,
  formProblem,
  loadState,
  submitButton,
  until
} from './parts.js'
import { redraw, state, whyReadOnly } from './state.js'

/** @import { Flow, SignInState } from './contract.d.ts' */

const PROVIDERS = /** @type {const} */ ([
  ['builder-id', 'AWS Builder ID'],
  ['organisation', 'Organisation (IAM Identity Center)'],
  ['google', 'Google'],
  ['github', 'GitHub']
])
const POLL_MS = 1_500
const FIELDS = ['start_url', 'region', 'address']

/** @type {Loaded<SignInState>} */
const current = new Loaded(() => get('sign-in'))
const starting = new Change()
const pasting = new Change()
const ending = new Change()
let provider = 'builder-id'
let isPolling = false
let isEnding = false
const restarting = new Change()
let said = ''

/** @param {Flow | null} flow */
function isUnderWay(flow) {
  return flow !== null && ['starting', 'waiting', 'saving'].includes(flow.state)
}

/** @param {Flow} flow */
function show(flow) {
  if (current.value !== null) current.value = { ...current.value, flow }
  void poll()
}

/** Looks again until it is over or out of sight. */
async function poll() {
  if (isPolling) return
  isPolling = true
  while (isUnderWay(current.value?.flow ?? null) && isShown()) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    await current.refresh()
  }
  isPolling = false
}

function isShown() {
  return !document.hidden && document.querySelector('#kiro-sign-in') !== null
}

/** @param {Record<string, string>} values */
async function start(values) {
  said = ''
  const organisation =
    provider === 'organisation' ? { start_url: values['start_url'], region: values['region'] } : {}
  try {
    const { flow } = await post('sign-in', { provider, ...organisation })
    show(flow)
  } catch (cause) {
    if (!(cause instanceof ApiProblem) || cause.body?.flow === undefined) throw cause
    show(cause.body.flow)
  }
}

async function restart() {
  const { sentence } = await post('restart')
  said = sentence
}

async function cancel() {
  const { flow } = await post('sign-in/cancel')
  show(flow)
}

async function signOut() {
  const { sentence } = await post('sign-out')
  said = sentence
  isEnding = false
  await current.refresh()
}

export function leaveKiroSignIn() {
  current.clear()
  isEnding = false
  said = ''
}

/**
 * The card of the sign-in to Kiro.
 * @param {{ canEnd?: boolean }} [options]
 */
export function kiroSignIn({ canEnd = true } = {}) {
  if (current.value === null && !current.isLoading && current.problem === '')
    void current.refresh().then(poll)
  const flow = current.value?.flow ?? null
  // Nobody looked while the reader was at the sign-in page, in another tab, or the card was not there.
  if (isUnderWay(flow)) void poll()
  return html`<div id="kiro-sign-in">
    ${loadState(current)}
    <p class="said" role="status">${said}</p>
    ${
      isUnderWay(flow) && flow !== null
        ? flowView(flow)
        : html`${flow === null ? nothing : html`<p class=${flow.state === 'done' ? 'good' : 'problem'} role="status">${flow.sentence}</p>`}
      ${flow?.restart_needed === true ? html`${formProblem(restarting)}<div class="tools">${actButton(restarting, 'Restart the gateway now', restart)}</div>` : nothing}
      ${state.account?.signIn.state === 'signed-in' ? signedIn(canEnd) : flow?.state === 'done' && flow.restart_needed ? nothing : startView()}`
    }
  </div>`
}

function startView() {
  return html`<form class="form" aria-label="Sign in to Kiro" @submit=${(/** @type {SubmitEvent} */ event) => starting.submit(event, start)}>
    ${choice('provider', 'Sign in with', PROVIDERS, provider, (value) => {
      provider = value
      redraw()
    })}
    ${
      provider === 'organisation'
        ? html`${field(starting, { name: 'start_url', label: 'Start URL', type: 'url', mode: 'url', isRequired: true, hint: 'As your administrator gave it: https://….awsapps.com/start' })}
          ${field(starting, { name: 'region', label: 'Region', value: 'us-east-1', isRequired: true })}`
        : nothing
    }
    ${formProblem(starting, FIELDS)}
    <div class="tools">${submitButton(starting, 'Sign in to Kiro')}</div>
  </form>`
}

/** @param {Flow} flow */
function flowView(flow) {
  return html`<div class="flow" role="status">
    <p>${flow.sentence}</p>
    ${flow.user_code === null ? nothing : html`<p>Check that the page shows this code:</p>${copyable(flow.user_code, 'the code')}`}
    ${flow.url === null ? nothing : html`<p><a class="primary" href=${flow.url} target="_blank" rel="noreferrer">Open the sign-in page</a></p>`}
    ${flow.problem === null ? nothing : html`<p class="problem">${flow.problem}</p>`}
    ${flow.expires_at === null ? nothing : html`<p class="note">The code expires ${until(flow.expires_at, '')}.</p>`}
  </div>
  ${
    flow.needs_paste
      ? html`<form class="form" aria-label="Address after the sign-in" @submit=${(
          /** @type {SubmitEvent} */ event
        ) =>
          pasting.submit(event, async ({ address }) => {
            const answer = await post('sign-in/paste', { address })
            show(answer.flow)
          })}>
        ${field(pasting, { name: 'address', label: 'Address that the browser ended at', isRequired: true, hint: 'It begins with http://localhost and may show an error: that is expected.' })}
        ${formProblem(pasting, FIELDS)}
        <div class="tools">${submitButton(pasting, 'Finish the sign-in', 'quiet')}</div></form>`
      : nothing
  }
  ${formProblem(ending)}
  ${flow.state === 'saving' ? nothing : html`<div class="tools">${actButton(ending, 'Cancel', cancel)}</div>`}`
}

/** @param {boolean} canEnd */
function signedIn(canEnd) {
  if (!canEnd) {
    const { method = null } = state.account?.signIn ?? {}
    return html`<p>Signed in to Kiro${method === null ? '' : ` (${method})`}.</p>`
  }
  return html`${formProblem(ending)}
    <div class="tools">${
      isEnding
        ? html`${actButton(ending, 'Yes, sign out of Kiro', signOut, 'danger')}
        <button type="button" class="quiet" @click=${() => setEnding(false)}>Stay signed in</button>
        <p class="note">Requests are refused until somebody signs in again.</p>`
        : html`<button type="button" class="quiet" ?disabled=${whyReadOnly() !== ''} @click=${() => setEnding(true)}>Sign out of Kiro …</button>`
    }</div>`
}

/** @param {boolean} value */
function setEnding(value) {
  isEnding = value
  redraw()
}
