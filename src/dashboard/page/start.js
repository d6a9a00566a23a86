/* The first minute: sign in to Kiro, point a client here, try a prompt. */
import { baseUrls, clientSnippets } from './clients.js'
import { html, nothing } from './lit.js'
import { kiroSignIn, leaveKiroSignIn } from './kiro-sign-in.js'
import { readOnlyNote } from './parts.js'
import { state, whyReadOnly } from './state.js'
import { testPrompt } from './test-prompt.js'

/** Stands for a client's key where this page knows none. */
function keyWord() {
  return state.session?.isKeyNeeded === true ? 'YOUR-KEY' : 'no-key-needed'
}

export const start = {
  title: 'Start',
  leave: leaveKiroSignIn,
  view() {
    return html`<h2 class="place-title">Start</h2>${startSteps()}`
  }
}

/** The steps, also in the place of an empty overview. */
export function startSteps() {
  const signIn = state.account?.signIn.state
  const isDone = signIn === 'signed-in' || signIn === 'client-keys'
  return html`${readOnlyNote(' A test prompt works all the same: it is a request like any other, and uses credits.')}
  <ol class="steps">
    <li class="card" ?data-done=${isDone}><h3>Sign in to Kiro</h3>
      ${state.account?.isSimulated === true ? html`<p class="note">Without a sign-in the built-in simulator answers. It is enough for a try: go on with the next step, and sign in later.</p>` : nothing}
      ${signIn === 'client-keys' ? html`<p>Clients send their own Kiro keys. No sign-in is needed.</p>` : kiroSignIn({ canEnd: false })}
      ${signIn === 'signed-in' ? html`<p class="note">To change the account, go to <a href="#/gateway">Gateway</a>.</p>` : nothing}</li>
    <li class="card"><h3>Point a client here</h3>
      ${state.session?.isKeyNeeded === true ? html`<p class="note">Put a key in place of YOUR-KEY: one of PROXY_API_KEY, or ${whyReadOnly() === '' ? html`<a href="#/keys/add">add one</a> for each person` : 'that of a person'}.</p>` : nothing}
      ${clientSnippets(keyWord())}
      ${baseUrls()}
      <p class="note"><a href="docs/guides">Guides and reference</a>, and all calls with examples: <a href="docs">API</a></p></li>
    <li class="card"><h3>Try a prompt</h3>${testPrompt()}</li>
  </ol>`
}
