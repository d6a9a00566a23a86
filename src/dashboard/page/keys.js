/* Keys: who has one, what it may use, what it has used; add, change, rotate, revoke. */
import { ApiProblem, Change, get, Loaded, post } from './api.js'
import { clientSnippets, isLoopback } from './clients.js'
import { devicesOf, leaveDevices, waitingDevices } from './devices.js'
import { html, nothing } from './lit.js'
import { amount, balance, column, plural } from './format.js'
import {
  actButton,
  copyable,
  credits,
  facts,
  field,
  figure,
  formProblem,
  leftUntil,
  loadState,
  meter,
  readOnlyNote,
  submitButton,
  until,
  when
} from './parts.js'
import { limitFields, limitsOf } from './limit-fields.js'
import { NEW_OPERATOR_KEY } from './sign-in.js'
import { redraw, state, whyReadOnly } from './state.js'
import { UsageView } from './usage.js'

/** @import { Issued, Key, KeyList } from './contract.d.ts' */
/** @typedef {Record<string, string>} Values */

const FIELDS = ['name', 'credits', 'requests_per_minute', 'max_streams', 'models', 'expires']
/** @type {Readonly<Record<string, string>>} */
const UNNAMED = {
  operator: 'operator',
  kiro: "clients' own Kiro keys",
  anyone: 'without a key'
}

/** @type {Loaded<KeyList>} */
const list = new Loaded(() => get('keys'))
/** @type {Loaded<{ key: Key }>} */
const one = new Loaded(() => get(`keys/${encodeURIComponent(state.route.id)}`))
/** A secret is shown once: it is gone when the page is left. @type {Issued | null} */
let issued = null
/** @type {UsageView | null} */
let ownUsage = null
let loadedFor = ''
let isRevoking = false
let said = ''
const adding = new Change()
const changing = new Change()
const rotating = new Change()
const revoking = new Change()
const reloading = new Change()

/** @param {Values} values */
async function add(values) {
  issued = await post('keys', { name: values['name'], ...limitsOf(values, null) })
  location.hash = `#/keys/${encodeURIComponent(issued?.key.id ?? '')}`
}

/**
 * @param {Key} key
 * @param {Values} values
 */
async function changeLimits(key, values) {
  said = ''
  try {
    one.value = await post(`keys/${encodeURIComponent(key.id)}`, {
      version: key.version,
      ...limitsOf(values, key)
    })
    said = `The limits of ${key.name} are changed. They hold from now on.`
  } catch (cause) {
    if (!(cause instanceof ApiProblem) || cause.status !== 412) throw cause
    one.value = { key: cause.body.key }
    const text =
      'Somebody else changed this key meanwhile. The form now shows it as it is: check it, then save again.'
    throw new Error(text, { cause })
  }
}

/**
 * @param {Key} key
 * @param {Values} values
 */
async function rotate(key, values) {
  issued = await post(`keys/${encodeURIComponent(key.id)}/rotate`, {
    grace: values['grace'] ?? '24h',
    version: key.version
  })
  if (issued !== null) one.value = { key: issued.key }
}

/** @param {Key} key */
async function revoke(key) {
  const answer = await post(`keys/${encodeURIComponent(key.id)}/revoke`, { version: key.version })
  one.value = { key: answer.key }
  said = answer.sentence
  isRevoking = false
}

function load() {
  const wanted = `${state.route.id} ${state.route.name}`
  if (wanted === loadedFor) return
  loadedFor = wanted
  said = ''
  isRevoking = false
  ownUsage = null
  leaveDevices()
  for (const act of [adding, changing, rotating, revoking, reloading]) act.reset()
  if (issued?.key.id !== state.route.id) issued = null
  one.clear()
  if (state.route.id === '' || state.route.id === 'add') void list.refresh()
  else void one.refresh()
}

export const keys = {
  title: 'Keys',
  leave() {
    issued = null
    loadedFor = ''
    list.clear()
    one.clear()
    leaveDevices()
  },
  /** Reloads what other pages and requests have changed. */
  refresh() {
    if (state.route.id === '') void list.refresh()
  },
  view() {
    load()
    const { id } = state.route
    if (id === 'add') return addView()
    return id === '' ? listView() : keyView()
  }
}

function listView() {
  const { value } = list
  const active = value?.keys.filter((key) => key.state === 'active').length ?? 0
  return html`<div class="place-head"><h2 class="place-title">Keys</h2>
      ${whyReadOnly() === '' ? html`<a class="primary" href="#/keys/add">Add a key</a>` : nothing}</div>
    ${readOnlyNote()}
    ${value?.book_problem ? html`<p class="problem" role="alert">${value.book_problem}</p>` : nothing}
    ${waitingDevices(value?.keys ?? [], () => void list.refresh())}
    <section class="card" aria-labelledby="keys-title">
      <div class="card-head"><h3 id="keys-title">Named keys</h3>${value === null ? nothing : html`<p class="note"><b>${active}</b> active, ${value.operator_keys === 0 ? 'none of the operator:' : html`and <b>${plural(value.operator_keys, 'operator key')}</b> in`} <code>PROXY_API_KEY</code>${value.operator_keys === 0 ? ' is not set' : nothing}</p>`}</div>
      ${loadState(list)}
      ${value !== null && value.keys.length === 0 ? html`<p class="nothing" id="no-keys">No named keys yet. Give each person one of their own: you see who uses how much, and a limit holds.</p>` : nothing}
      ${
        value === null || value.keys.length === 0
          ? nothing
          : html`<div class="scroll" tabindex="0" role="region" aria-label="Table of named keys"><table id="keys">
        <thead><tr><th scope="col">Key</th><th scope="col">Credits</th><th scope="col" class="number from-s">Streams</th><th scope="col" class="from-m">Resets</th><th scope="col" class="number from-s">Today</th><th scope="col" class="number from-m">30 days</th><th scope="col" class="from-m">Last seen</th></tr></thead>
        <tbody>${value.keys.map(keyRow)}</tbody></table></div>`
      }
    </section>
    ${
      value === null || value.unnamed.length === 0
        ? nothing
        : html`<section class="card" aria-labelledby="unnamed-title"><h3 id="unnamed-title">Other use</h3>
      <table><thead><tr><th scope="col">By</th><th scope="col" class="number">Today</th><th scope="col" class="number">30 days</th><th scope="col" class="from-s">Last seen</th></tr></thead>
      <tbody>${value.unnamed.map(({ id, today, last_30_days, last_seen }) => html`<tr><th scope="row">${UNNAMED[id] ?? id}</th><td class="number">${column.credits(today?.credits)}</td><td class="number">${column.credits(last_30_days?.credits)}</td><td class="from-s">${when(last_seen)}</td></tr>`)}</tbody></table></section>`
    }
    ${devicesOf({ id: 'anyone', name: 'nobody' })}`
}

/** @param {Key} key */
function keyRow(key) {
  const streams = state.keys?.list.find(({ id }) => id === key.id)?.streams ?? 0
  const most = key.max_streams === null ? '' : ` of ${amount(key.max_streams)}`
  return html`<tr data-key-id=${key.id}>
    <th scope="row" class="name" title=${key.name}><a href=${`#/keys/${encodeURIComponent(key.id)}`}>${key.name}</a>${key.state === 'active' ? nothing : html` <span class="state note" data-level="fair">${key.state}</span>`}</th>
    <td><div class="bar-cell">${creditBar(key)}</div></td>
    <td class="number from-s">${figure('key-streams', streams, `${amount(streams)}${most}`)}</td>
    <td class="from-m">${leftUntil(key.credits?.resets_at)}</td>
    <td class="number from-s">${column.credits(key.today?.credits)}</td>
    <td class="number from-m">${column.credits(key.last_30_days?.credits)}</td>
    <td class="from-m">${when(key.last_seen)}</td></tr>`
}

/** @param {Key} key */
export function creditBar({ credits: limit }) {
  if (limit === null) return html`<span>no limit</span>`
  if (limit.problem !== null) return html`<span>${limit.problem}</span>`
  const held = limit.reserved > 0 ? `, ${amount(limit.reserved)} reserved` : ''
  const of = Math.max(limit.limit, Number.MIN_VALUE)
  return html`${figure('key-credits-used', limit.used, `${credits(limit.used)} of ${amount(limit.limit)} ${limit.period === 'total' ? 'in all' : `a ${limit.period}`}${held}`, `${balance(limit.left)} left`)}
    ${meter(limit.used / of, undefined, limit.reserved / of)}`
}

/** A gateway without keys asks everybody for one from its first key on: that one has to be the operator's. */
function operatorFirst() {
  return html`<div class="place-head"><h2 class="place-title">Add a key</h2><a href="#/keys">All keys</a></div>
    ${readOnlyNote()}
    <section class="card form" aria-labelledby="first-title"><h3 id="first-title">First, an operator key</h3>
      <p>This gateway serves everybody on this machine without a key. As soon as one person has a key, it asks for a key each time: also on this page. Make yours first.</p>
      <p>In the folder of the gateway, run:</p>
      ${copyable(NEW_OPERATOR_KEY, 'the command')}
      <p>Then reload the settings. This page asks for the key that the command has printed.</p>
      <div class="tools">${actButton(reloading, 'Reload the settings', reload, 'primary')}</div>
      ${formProblem(reloading)}
      <p class="said" role="status">${said}</p>
    </section>`
}

async function reload() {
  said = ''
  await post('reload')
  if (state.session?.isKeyNeeded === false)
    said = 'There is still no operator key. Run the command in the folder of the gateway first.'
}

function addView() {
  if (state.session?.isKeyNeeded === false) return operatorFirst()
  return html`<div class="place-head"><h2 class="place-title">Add a key</h2><a href="#/keys">All keys</a></div>
    ${readOnlyNote()}
    <form class="card form" aria-label="Add a key" @submit=${(/** @type {SubmitEvent} */ event) => adding.submit(event, add)}>
      ${field(adding, { name: 'name', label: 'Name', hint: 'Of the person or the job, such as anna or ci.', isRequired: true })}
      ${limitFields(adding, null)}
      ${formProblem(adding, FIELDS)}
      <div class="tools">${submitButton(adding, 'Add the key')}</div>
    </form>`
}

/** @param {Issued} value */
function secretView({ key, secret, command, note = null }) {
  return html`<section class="card secret" aria-labelledby="secret-title">
    <h3 id="secret-title">The key of ${key.name}</h3>
    <p>It is shown this once: the gateway stores only a hash of it.</p>
    ${copyable(secret, 'the key')}
    <p>${key.name} runs this command to use it with Claude Code:</p>
    ${copyable(command, 'the command')}
    ${isLoopback() ? html`<p class="note">This address works on this machine only. For another machine put its own in place, or open this page by that address before you add the key.</p>` : nothing}
    ${note === null ? nothing : html`<p class="note">${note}</p>`}
    <details><summary>Other clients</summary>${clientSnippets(secret)}</details>
    <p><button type="button" class="quiet" @click=${() => {
      issued = null
      redraw()
    }}>I have copied it</button></p>
  </section>`
}

function keyView() {
  const { value } = one
  const head = html`<div class="place-head"><h2 class="place-title">${value?.key.name ?? 'Key'}</h2><a href="#/keys">All keys</a></div>`
  if (value === null) return html`${head}${readOnlyNote()}${loadState(one)}`
  const { key } = value
  ownUsage ??= new UsageView('usage', { key: key.name, split: 'model' })
  return html`${head}
    ${readOnlyNote()}
    <p class="said" role="status">${said}</p>
    ${issued !== null && issued.key.id === key.id ? secretView(issued) : nothing}
    <div class=${`columns even ${key.state === 'revoked' ? '' : 'around'}`}>
      <section class="card" aria-labelledby="key-title"><h3 id="key-title">Use</h3>
        <div class="bar-cell large">${creditBar(key)}</div>
        ${facts([
          ['State', key.state],
          key.credits && ['Left', balance(key.credits.left)],
          key.credits && ['Resets', until(key.credits.resets_at, 'never')],
          ['Credits today', credits(key.today?.credits)],
          ['Credits in 30 days', credits(key.last_30_days?.credits)],
          ['Requests in 30 days', amount(key.last_30_days?.requests ?? null)],
          ['Last seen', when(key.last_seen)],
          ['Added', when(key.created_at)],
          key.expires_at === null ? null : ['Expires', when(key.expires_at)],
          key.revoked_at === null ? null : ['Revoked', when(key.revoked_at)],
          key.old_key_until === null ? null : ['Earlier key valid', until(key.old_key_until, '')]
        ])}
        <p><a href=${`#/requests?${new URLSearchParams({ since: '7d', key: key.name })}`}>Requests of ${key.name}</a></p>
      </section>
      ${key.state === 'revoked' ? nothing : html`${limitView(key)}${endView(key)}`}
    </div>
    ${devicesOf(key)}
    ${ownUsage.view()}`
}

/** @param {Key} key */
function limitView(key) {
  return html`<section class="card" aria-labelledby="limits-title"><h3 id="limits-title">Limits</h3>
    <form class="form" aria-label="Limits" @submit=${(/** @type {SubmitEvent} */ event) => changing.submit(event, (values) => changeLimits(key, values))}>
      ${limitFields(changing, key)}
      ${formProblem(changing, FIELDS)}
      <div class="tools">${submitButton(changing, 'Save the limits')}</div>
    </form></section>`
}

/** The ends of a key: another one in its place, or none. @param {Key} key */
function endView(key) {
  return html`<section class="card" aria-labelledby="rotate-title"><h3 id="rotate-title">New key</h3>
    <form class="form" aria-label="New key" @submit=${(/** @type {SubmitEvent} */ event) => rotating.submit(event, (values) => rotate(key, values))}>
      <p class="note">Gives ${key.name} a new key. The old one keeps working for a while, so that nothing stops.</p>
      <div class="field"><label for="f-grace">The old key works for</label><select id="f-grace" name="grace">
        <option value="0">no longer</option><option value="1h">1 hour</option><option value="24h" .selected=${true}>24 hours</option><option value="7d">7 days</option></select></div>
      ${formProblem(rotating)}
      <div class="tools">${submitButton(rotating, 'Make a new key', 'quiet')}</div>
    </form>
    </section>
    <section class="card" aria-labelledby="revoke-title"><h3 id="revoke-title">Revoke</h3>
    <p class="note">${key.name} can no longer get in, at once and for good. Answers that are running end normally; what was used stays in the records.</p>
    ${formProblem(revoking)}
    <div class="tools">${
      isRevoking
        ? html`${actButton(revoking, `Yes, revoke ${key.name}`, () => revoke(key), 'danger')}
          <button type="button" class="quiet" @click=${() => setRevoking(false)}>Keep it</button>`
        : html`<button type="button" class="quiet" ?disabled=${whyReadOnly() !== ''} @click=${() => setRevoking(true)}>Revoke …</button>`
    }</div>
  </section>`
}

/** @param {boolean} value */
function setRevoking(value) {
  isRevoking = value
  redraw()
}
