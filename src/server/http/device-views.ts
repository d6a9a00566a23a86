import type { PendingDevice } from '../../ipc/devices.ts'
import type { NamedKey } from '../../keys/key.ts'
import { type Markup, markup, type MarkupPart } from './markup.ts'

/** Pages of `/device`: plain forms without scripts. Each posts to the address that it came from. */
export interface DeviceView {
  readonly title: string
  readonly body: Markup
}

/** Beside a form: its token, and what was wrong with it. */
export interface FormFacts {
  readonly token: string
  readonly problem?: FormProblem | null
}

export interface FormProblem {
  readonly message: string
  /** Name of the field that it is about; empty if it is about none. */
  readonly field: string
}

export function enterView(code: string, form: FormFacts): DeviceView {
  return {
    title: 'Sign in a device',
    body: markup`<p>A program that signs in to this gateway shows a code of 8 letters. Enter it to see who asks. Nothing is approved yet.</p>
${problemOf(form)}
<form method="post" action="?">
${hidden('step', 'look')}${hidden('form', form.token)}
${field({ name: 'user_code', label: 'Code', value: code, hint: 'A code works for 10 minutes.', isWrong: isAbout(form, 'user_code'), more: CODE_FIELD })}
<p class="tools"><button class="primary">Continue</button></p>
</form>`
  }
}

const CODE_FIELD = markup`required autofocus maxlength="32" autocapitalize="characters" class="code"`

export interface SignInWays {
  /** Keys can be entered here. */
  readonly hasKeys: boolean
  readonly hasOidc: boolean
}

export function signInView(code: string, ways: SignInWays, form: FormFacts): DeviceView {
  const withKey = markup`<form method="post" action="?">
${hidden('step', 'sign-in')}${hidden('form', form.token)}${hidden('user_code', code)}
<input type="text" name="username" autocomplete="username" value="operator" hidden>
${field({ name: 'key', label: 'Key', type: 'password', hint: 'An operator key (PROXY_API_KEY), or your own key.', isWrong: isAbout(form, 'key'), more: KEY_FIELD })}
<p class="tools"><button class="primary">Sign in</button></p>
</form>`
  return {
    title: 'Sign in',
    body: markup`<p>Sign in to see who asks with the code ${codeOf(code)}. You come back to it here.</p>
${problemOf(form)}
${ways.hasKeys ? withKey : null}
${ways.hasOidc ? markup`<p><a class="quiet" href="dashboard/oidc?device=${code}">Sign in with your organisation</a></p>` : null}
${ways.hasKeys || ways.hasOidc ? null : markup`<p>This gateway has no key to sign in with. Its operator has to set PROXY_API_KEY.</p>`}`
  }
}

const KEY_FIELD = markup`required autofocus autocomplete="current-password"`

export interface WhoLooks {
  readonly name: string
  readonly address: string
  /** Signed in by a session of this gateway, which can be ended here. */
  readonly canSignOut: boolean
}

export interface Decision extends FormFacts {
  readonly device: PendingDevice
  readonly who: WhoLooks
  /** Epoch ms. */
  readonly now: number
}

/** Fields of a new key, as they were sent. */
export type NewKeyFields = Readonly<Record<'name' | 'limit' | 'period', string>>

export const NO_FIELDS: NewKeyFields = { name: '', limit: '', period: 'month' }

/** An operator chooses the key whose limits hold for the device. */
export function operatorView(
  decision: Decision,
  keys: readonly Pick<NamedKey, 'id' | 'name'>[],
  given: NewKeyFields
): DeviceView {
  const existing = markup`<section aria-labelledby="existing"><h2 id="existing">With an existing key</h2>
<form method="post" action="?">${decisionFields(decision, 'approve')}
<div class="field"><label for="key">Key</label><select id="key" name="key" required><option value="" selected disabled>Choose a key</option>${keys.map(({ id, name }) => markup`<option value="${id}">${name}</option>`)}</select></div>
<p class="tools"><button class="primary">Approve</button></p></form></section>`
  return {
    title: 'Approve this sign-in?',
    body: markup`${factsOf(decision)}
${problemOf(decision)}
<p>The program gets the access of a named key: its limits hold, and its use is counted there. No secret of the key is shown.</p>
${keys.length === 0 ? null : existing}
<section aria-labelledby="new"><h2 id="new">With a new key</h2>
<form method="post" action="?">${decisionFields(decision, 'approve-new')}
${field({ name: 'name', label: 'Name', value: given.name, hint: 'Of the person or the job, such as anna or ci.', isWrong: isAbout(decision, 'name'), more: markup`required maxlength="64"` })}
<div class="pair">
${field({ name: 'limit', label: 'Credits', value: given.limit, hint: 'Empty: no limit.', isWrong: isAbout(decision, 'credits'), more: markup`inputmode="decimal" maxlength="20"` })}
<div class="field"><label for="period">Per</label><select id="period" name="period">${PERIODS.map(([value, text]) => markup`<option value="${value}"${value === given.period ? markup` selected` : null}>${text}</option>`)}</select></div>
</div>
<p class="tools"><button class="primary">Approve with a new key</button></p></form></section>
${denyForm(decision)}
${signOutForm(decision)}`
  }
}

const PERIODS = [
  ['day', 'day'],
  ['week', 'week'],
  ['month', 'month'],
  ['total', 'in all']
] as const

/** One click: for a person who approves for their own key, and on a gateway without keys. */
export function oneClickView(decision: Decision, key: string | null): DeviceView {
  const what =
    key === null
      ? markup`<p>This gateway has no keys. The program may use it until keys are set.</p>`
      : markup`<p>The program gets the access of your key <b>${key}</b>: your limits hold, and its use counts as yours.</p>`
  return {
    title: 'Approve this sign-in?',
    body: markup`${factsOf(decision)}
${problemOf(decision)}
${what}
<form method="post" action="?">${decisionFields(decision, 'approve')}
<p class="tools"><button class="primary">Approve</button></p></form>
${denyForm(decision)}
${signOutForm(decision)}`
  }
}

/** A person whose operator approves all sign-ins. */
export function waitView(decision: Decision): DeviceView {
  return {
    title: 'An operator has to approve this',
    body: markup`${factsOf(decision)}
${problemOf(decision)}
<p>Tell the operator of this gateway the code ${codeOf(decision.device.code)}. They approve it here, in the panel under Keys, or with <code>kiro-gateway key approve ${decision.device.code}</code>.</p>
${signOutForm(decision)}`
  }
}

export interface DeviceOutcome {
  readonly title: string
  readonly message: string
  readonly next: string
  readonly isGood: boolean
}

export function outcomeView({ title, message, next, isGood }: DeviceOutcome): DeviceView {
  return {
    title,
    body: markup`<p class="${isGood ? 'good' : 'problem'}" role="status">${message}</p>
<p>${next}</p>
<p><a class="quiet" href="?">Enter another code</a></p>`
  }
}

/** Loads the page again as its own: browsers send no strict cookie with a link of another site. */
export function againView(code: string): DeviceView {
  const address = code === '' ? '?' : `?user_code=${code}`
  return {
    title: 'Sign in a device',
    body: markup`<meta http-equiv="refresh" content="0; url=${address}">
<p><a class="quiet" href="${address}">Continue</a></p>`
  }
}

export function pageOf({ title, body }: DeviceView, style: string): string {
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${title} – kiro-gateway</title>
`.text.concat(
    `<style>${style}</style>\n`,
    markup`</head>
<body>
<header class="brand">kiro-gateway</header>
<main>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`.text
  )
}

function factsOf({ device, who, now }: Decision): Markup {
  const { client, host, address, askedAt, code } = device
  const isElsewhere = address !== who.address
  return markup`<dl>
<div><dt>Code</dt><dd>${codeOf(code)}</dd></div>
<div><dt>Program</dt><dd>${client === '' ? 'not named' : client}</dd></div>
<div><dt>Machine</dt><dd>${host === '' ? 'not named' : host}</dd></div>
<div><dt>Address</dt><dd>${address}${isElsewhere ? markup` <b class="elsewhere">not this browser’s (${who.address})</b>` : ' (as this browser’s)'}</dd></div>
<div><dt>Asked</dt><dd><time datetime="${new Date(askedAt).toISOString()}">${ageOf(now - askedAt)} ago</time></dd></div>
</dl>
<p class="note">Program and machine are named by the program itself. ${isElsewhere ? 'Approve it only if you know who has started it, and compare the code with the one it shows.' : 'Compare the code with the one that the program shows.'}</p>`
}

function ageOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return seconds === 1 ? '1 second' : `${seconds} seconds`
  const minutes = Math.floor(seconds / 60)
  return minutes === 1 ? '1 minute' : `${minutes} minutes`
}

function decisionFields({ token, device }: Decision, step: string): MarkupPart {
  return [hidden('step', step), hidden('form', token), hidden('user_code', device.code)]
}

function denyForm(decision: Decision): Markup {
  return markup`<form method="post" action="?">${decisionFields(decision, 'deny')}
<p class="tools"><button class="danger">Deny</button></p></form>`
}

function signOutForm({ token, device, who }: Decision): Markup {
  if (!who.canSignOut) return markup`<p class="note">You are ${who.name}.</p>`
  return markup`<form method="post" action="?" class="sign-out">${hidden('step', 'sign-out')}${hidden('form', token)}${hidden('user_code', device.code)}
<p class="note">You are signed in as ${who.name}. <button class="link">Sign out</button></p></form>`
}

function codeOf(code: string): Markup {
  return markup`<code class="shown-code">${code}</code>`
}

function hidden(name: string, value: string): Markup {
  return markup`<input type="hidden" name="${name}" value="${value}">`
}

interface Field {
  readonly name: string
  readonly label: string
  readonly hint: string
  readonly value?: string
  readonly type?: 'text' | 'password'
  readonly isWrong: boolean
  readonly more: Markup
}

function field({ name, label, hint, value = '', type = 'text', isWrong, more }: Field): Markup {
  const wrong = markup` aria-invalid="true" aria-errormessage="problem"`
  return markup`<div class="field"><label for="${name}">${label}</label>
<input id="${name}" name="${name}" type="${type}" value="${value}" spellcheck="false" aria-describedby="${name}-hint"${isWrong ? wrong : null} ${more}>
<p class="hint" id="${name}-hint">${hint}</p></div>`
}

function problemOf({ problem = null }: FormFacts): Markup | null {
  return problem === null
    ? null
    : markup`<p class="problem" id="problem" role="alert">${problem.message}</p>`
}

function isAbout({ problem = null }: FormFacts, name: string): boolean {
  return problem?.field === name
}
