/* Devices that sign in by a code: those that wait for a decision, and those that have signed in. */
import { Change, get, Loaded, post } from './api.js'
import { duration } from './format.js'
import { creditFields, limitsOf } from './limit-fields.js'
import { html, nothing } from './lit.js'
import {
  actButton,
  at,
  choice,
  field,
  formProblem,
  loadState,
  submitButton,
  when
} from './parts.js'
import { redraw, state, whyReadOnly } from './state.js'

/** @import { Device, DeviceList, Key, WaitingDevice } from './contract.d.ts' */
/** @typedef {Record<string, string>} Values */

/** Waiting devices come and go by themselves. */
const POLL_MS = 3_000
const FIELDS = ['key', 'name', 'credits']
/** Choice of a key that does not exist yet. */
const NEW = ''

/** @type {Loaded<DeviceList>} */
const list = new Loaded(() => get('devices'))
const approving = new Change()
const denying = new Change()
const ending = new Change()
/** Code of the device whose approval is open. */
let chosen = ''
let key = NEW
let said = ''
/** Id of the key whose device was signed out here, and what the gateway said. */
let ended = ''
let endedText = ''
let isPolling = false

export function leaveDevices() {
  list.clear()
  chosen = said = ended = ''
  for (const act of [approving, denying, ending]) act.reset()
}

function load() {
  if (list.value === null && !list.isLoading && list.problem === '') void list.refresh()
}

/** Looks again as long as they are in sight. */
async function poll() {
  if (isPolling) return
  isPolling = true
  do {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    if (!document.hidden) await list.refresh()
  } while (document.querySelector('#waiting-title') !== null)
  isPolling = false
}

/**
 * Devices that wait for a decision; nothing where none can sign in.
 * @param {readonly Key[]} keys
 * @param {() => void} onNewKey
 */
export function waitingDevices(keys, onNewKey) {
  if (state.session?.hasDevices !== true) return nothing
  load()
  void poll()
  const { value } = list
  const pending = value?.pending ?? []
  return html`<section class="card" aria-labelledby="waiting-title">
    <h3 id="waiting-title">Waiting sign-ins</h3>
    ${loadState(list)}
    <p class="said" role="status">${said}</p>
    ${formProblem(denying)}
    ${
      value === null
        ? nothing
        : pending.length === 0
          ? html`<p class="nothing">No device waits. A program that signs in to this gateway shows a code: it appears here, and can be entered at <a href="device">/device</a>.</p>`
          : html`<div class="scroll" tabindex="0" role="region" aria-label="Table of waiting sign-ins"><table id="waiting">
      <thead><tr><th scope="col">Code</th><th scope="col">Program</th><th scope="col">Machine</th><th scope="col" class="from-s">Address</th><th scope="col" class="from-s">Asked</th><th scope="col">Decision</th></tr></thead>
      <tbody>${pending.map((device) => waitingRow(device))}</tbody></table></div>`
    }
    ${pending.filter(({ code }) => code === chosen).map((device) => approveForm(device, keys, onNewKey))}
  </section>`
}

/** @param {WaitingDevice} device */
function waitingRow({ code, client, host, address, asked_at }) {
  const age = Date.now() - (at(asked_at) ?? Date.now())
  const isOpen = state.session?.isKeyNeeded === false
  return html`<tr>
    <th scope="row"><code>${code}</code></th>
    <td>${client === '' ? 'not named' : client}</td><td>${host === '' ? 'not named' : host}</td>
    <td class="from-s">${address}</td><td class="from-s">${duration(Math.max(1, Math.round(age / 1000)) * 1000)} ago</td>
    <td><div class="tools">${
      isOpen
        ? actButton(
            approving,
            html`Approve<span class="for-ears"> ${code}</span>`,
            () => approve(code, {}),
            'primary'
          )
        : html`<button type="button" class="quiet" ?disabled=${whyReadOnly() !== ''} aria-expanded=${chosen === code} @click=${() => choose(code)}>Approve …<span class="for-ears"> ${code}</span></button>`
    }
    ${actButton(denying, html`Deny<span class="for-ears"> ${code}</span>`, () => deny(code))}</div></td></tr>`
}

/** @param {string} code */
function choose(code) {
  chosen = chosen === code ? '' : code
  key = NEW
  said = ''
  approving.reset()
  redraw()
}

/**
 * @param {WaitingDevice} device
 * @param {readonly Key[]} keys
 * @param {() => void} onNewKey
 */
function approveForm({ code, client, host, address }, keys, onNewKey) {
  const active = keys.filter((one) => one.state === 'active')
  const options = [
    ...active.map((one) => /** @type {const} */ ([one.id, one.name])),
    /** @type {const} */ ([NEW, 'A new key'])
  ]
  const submit = (/** @type {SubmitEvent} */ event) =>
    approving.submit(event, async (values) => {
      await approve(code, key === NEW ? { new: newKey(values) } : { key })
      if (key === NEW) onNewKey()
    })
  return html`<form class="form" aria-label=${`Approve ${code}`} @submit=${submit}>
    <p>${client === '' ? 'A program' : html`<b>${client}</b>`} on ${host === '' ? 'a machine' : html`<b>${host}</b>`} (${address}) gets the access of the key: its limits hold, and its use is counted there. Compare the code with the one that the program shows: <code>${code}</code>.</p>
    ${choice('key', 'Key', options, key, (value) => {
      key = value
      redraw()
    })}
    ${
      key === NEW
        ? html`${field(approving, { name: 'name', label: 'Name', hint: 'Of the person or the job, such as anna or ci.', isRequired: true })}
      ${creditFields(approving, null)}`
        : nothing
    }
    ${formProblem(approving, FIELDS)}
    <div class="tools">${submitButton(approving, 'Approve')}
      <button type="button" class="quiet" @click=${() => choose(code)}>Cancel</button></div>
  </form>`
}

/** @param {Values} values */
function newKey(values) {
  const { credits } = limitsOf(values, null)
  return { name: values['name'], credits }
}

/**
 * @param {string} code
 * @param {object} grant
 */
async function approve(code, grant) {
  said = ''
  const { key: given } = await post('devices/approve', { code, ...grant })
  said = `${code} is approved${given === null ? '' : ` for the key ${given.name}`}. The device is signed in within a few seconds.`
  chosen = ''
  await list.refresh()
}

/** @param {string} code */
async function deny(code) {
  said = ''
  await post('devices/deny', { code })
  said = `${code} is denied. The device gets no access.`
  if (chosen === code) chosen = ''
  await list.refresh()
}

/**
 * Devices that have signed in with a key; nothing where there is none.
 * @param {Pick<Key, 'id' | 'name'>} key `anyone` on a gateway without keys
 */
export function devicesOf({ id, name }) {
  if (state.session?.hasDevices !== true) return nothing
  load()
  const devices = list.value?.devices.filter((device) => device.key === id) ?? []
  if (devices.length === 0 && ended !== id) return nothing
  return html`<section class="card" aria-labelledby="devices-title"><h3 id="devices-title">Signed-in devices</h3>
    <p class="said" role="status">${ended === id ? endedText : ''}</p>
    ${formProblem(ending)}
    ${
      devices.length === 0
        ? nothing
        : html`<div class="scroll" tabindex="0" role="region" aria-label=${`Table of devices of ${name}`}><table id="devices">
      <thead><tr><th scope="col">Program</th><th scope="col">Machine</th><th scope="col" class="from-s">Address</th><th scope="col" class="from-s">Since</th><th scope="col">Last used</th><th scope="col">Sign out</th></tr></thead>
      <tbody>${devices.map(deviceRow)}</tbody></table></div>`
    }
  </section>`
}

/** @param {Device} device */
function deviceRow({ id, key: keyId, client, host, address, since, last_used_at, approved_by }) {
  return html`<tr>
    <th scope="row">${client === '' ? 'not named' : client}</th><td>${host === '' ? 'not named' : host}</td>
    <td class="from-s">${address}</td><td class="from-s" title=${`Approved by ${approved_by}`}>${when(since)}</td><td>${when(last_used_at)}</td>
    <td>${actButton(ending, html`Sign out<span class="for-ears"> ${host || client}</span>`, () => end(id, keyId))}</td></tr>`
}

/**
 * @param {string} id
 * @param {string} keyId
 */
async function end(id, keyId) {
  ended = ''
  const { sentence } = await post(`devices/${encodeURIComponent(id)}/end`)
  ended = keyId
  endedText = sentence
  await list.refresh()
}
