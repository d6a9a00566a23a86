/* The gateway itself: account, connections, processes, fleet, settings, and who changed what. */
import { Change, get, Loaded, post, withQuery } from './api.js'
import { actionOf, changesOf } from './audit-words.js'
import { connectionPlots } from './connections.js'
import { html, nothing } from './lit.js'
import {
  amount,
  bytes,
  date,
  duration,
  fullTime,
  moment,
  percent,
  short,
  timeOfDay,
  UNKNOWN
} from './format.js'
import { fleetCard } from './fleet.js'
import { kiroSignIn, leaveKiroSignIn } from './kiro-sign-in.js'
import {
  actButton,
  facts,
  figure,
  formProblem,
  loadState,
  meter,
  quantity,
  readOnlyNote,
  when
} from './parts.js'
import { redraw, state } from './state.js'

/** @import { Now, ShownAccount as Account } from '../feed.ts' */
/** @import { Audit, AuditEntry, GatewayFacts, Setting, Settings } from './contract.d.ts' */

/** @type {Loaded<Settings>} */
const settings = new Loaded(() => get('settings'))
/** @type {Loaded<GatewayFacts>} */
const about = new Loaded(() => get('gateway'))
/** @type {readonly AuditEntry[]} Bounded by what the reader asks for, page by page. */
let entries = []
/** @type {string | null} */
let nextEntries = null
/** @type {Loaded<Audit>} */
const audit = new Loaded(async () => {
  const before = entries
  /** @type {Audit} */
  const page = await get(withQuery('audit', { limit: '20', cursor: nextEntries ?? '' }))
  // The list may have been begun anew meanwhile: it would show a change twice.
  if (before === entries) {
    entries = [...before, ...page.entries]
    nextEntries = page.next
  }
  return page
})
const reloading = new Change()
const restarting = new Change()
const lifting = new Change()
const recycling = new Change()
let said = ''
let isSetOnly = true
let wanted = ''
let isLoaded = false

function loadAudit() {
  entries = []
  nextEntries = null
  void audit.refresh()
}

/**
 * Has the gateway do something that its audit log tells of, and shows what it says.
 * @param {string} path
 * @param {object} [value]
 */
async function order(path, value) {
  const { sentence } = await post(path, value)
  said = sentence
  loadAudit()
}

async function reload() {
  await order('reload')
  void settings.refresh()
}

async function restart() {
  const { sentence } = await post('restart')
  said = sentence
}

export const gateway = {
  title: 'Gateway',
  leave() {
    isLoaded = false
    said = ''
    settings.clear()
    about.clear()
    audit.clear()
    leaveKiroSignIn()
  },
  view() {
    const { now, account } = state
    if (now === null || account === null) return html``
    if (!isLoaded) {
      isLoaded = true
      void settings.refresh()
      void about.refresh()
      loadAudit()
    }
    return html`<h2 class="place-title">Gateway</h2>
      ${readOnlyNote()}
      <p class="said" role="status">${said}</p>
      <div class="columns even">${accountCard(account)}${processCard(now)}</div>
      ${connectionCard(now)}
      ${now.counts.length === 0 ? nothing : countsCard(now)}
      ${now.fleet === null ? nothing : fleetCard(now.fleet)}
      ${settingsCard()}
      ${auditCard()}
      ${sinceCard(now, account)}`
  }
}

/** @type {Readonly<Record<string, string>>} */
const SIGN_IN_STATES = {
  'signed-in': 'signed in',
  waiting: 'being renewed',
  failing: 'renewal fails',
  'signed-out': 'signed out',
  'client-keys': "clients' own keys",
  simulator: 'none needed (simulator)'
}

/** @param {Account} account */
function accountCard({ signIn, problems }) {
  const { isUsable, method, expiresAt, renewsItself, region } = signIn
  const words = SIGN_IN_STATES[signIn.state] ?? signIn.state
  const renewed = renewsItself ? ', renewed automatically' : ''
  return html`<section class="card" aria-labelledby="account-title"><h3 id="account-title">Kiro account</h3>
    ${facts([
      [
        'Sign-in',
        figure(
          'sign-in',
          isUsable ? 1 : 0,
          method === null || signIn.state === 'simulator' ? words : `${words} (${method})`
        )
      ],
      [
        'Token expires',
        figure(
          'sign-in-expires',
          expiresAt,
          expiresAt === null ? UNKNOWN : `${timeOfDay(expiresAt)}${renewed}`,
          fullTime(expiresAt)
        )
      ],
      ['Region', region ?? UNKNOWN]
    ])}
    ${problems.map(
      ({
        code,
        message,
        until,
        bar
      }) => html`<div class="lift" data-problem=${code}><p>${message}${until === null ? '' : ` The gateway calls Kiro again ${moment(until, Date.now())}.`}</p>
      ${actButton(lifting, 'Call Kiro again now', () => order('account/lift', bar === null ? {} : { bar }))}</div>`
    )}
    ${formProblem(lifting)}
    ${signIn.state === 'client-keys' ? nothing : kiroSignIn()}
  </section>`
}

/** @param {Now} now */
function connectionCard(now) {
  const { budget, inUse, idle, connecting, closing } = now.connections
  const free = budget === null ? null : Math.max(0, budget - inUse - idle - connecting - closing)
  return html`<section class="card" aria-labelledby="connections-title">
    <div class="card-head"><h3 id="connections-title">Connections to Kiro</h3>
      <p class="note"><b>${quantity('connections-in-use', inUse)}</b> in use, <b>${quantity('connections-idle', idle)}</b> idle, <b>${figure('connections-free', free, free === null ? 'any number' : amount(free))}</b> free of <b>${figure('connections-budget', budget, budget === null ? 'no limit' : amount(budget))}</b></p></div>
    ${connectionPlots(now)}
    ${webSocketNote(now)}
  </section>`
}

/** @param {Now} now */
function webSocketNote({ webSockets: { open, busy, keptBytes } }) {
  return html`<p class="note" id="web-sockets">WebSockets of clients: <b>${quantity('web-sockets-open', open)}</b> open, <b>${quantity('web-sockets-busy', busy)}</b> with an answer under way, <b>${figure('web-sockets-kept', keptBytes, bytes(keptBytes))}</b> of conversations kept</p>`
}

/** @param {Now} now */
function countsCard({ counts }) {
  return html`<section class="card" aria-labelledby="counts-title">
    <h3 id="counts-title">Counts of tokens</h3>
    <div class="scroll" tabindex="0" role="region" aria-label="Errors of counts by model"><table id="counts"><thead><tr><th scope="col">Model</th><th scope="col" class="number">Median error</th><th scope="col" class="number">95 % within</th><th scope="col" class="number from-s">Hidden prompt</th><th scope="col" class="number from-s">Answers</th></tr></thead>
      <tbody>${counts.map(
        ({ model, p50, p95, hidden, counts: answers }) => html`<tr data-model=${model}>
        <th scope="row" class="cut" title=${model}>${model}</th>
        <td class="number">${figure('count-error-p50', p50, percent(p50))}</td>
        <td class="number">${figure('count-error-p95', p95, percent(p95))}</td>
        <td class="number from-s">${quantity('hidden-tokens', hidden)}</td>
        <td class="number from-s">${quantity('counts-measured', answers)}</td></tr>`
      )}</tbody></table></div>
    <p class="note">How far counts were off what Kiro then measured, by the newest answers of each model.</p>
  </section>`
}

/** @param {Now} now */
function processCard(now) {
  const { workers, memory } = now
  const ready = workers.filter((worker) => worker.state === 'ready').length
  return html`<section class="card" aria-labelledby="processes-title">
    <div class="card-head"><h3 id="processes-title">Processes</h3>
      <p class="note"><b>${quantity('worker-count', ready)}</b> of <b>${quantity('worker-target', workers.length)}</b> workers running</p></div>
    <div class="scroll" tabindex="0" role="region" aria-label="Table of processes"><table id="processes"><thead><tr><th scope="col">Process</th><th scope="col">State</th><th scope="col" class="number">Memory</th><th scope="col" class="number from-s">CPU</th><th scope="col" class="number from-s">Loop delay</th><th scope="col"><span class="for-ears">Actions</span></th></tr></thead>
      <tbody>${processesOf(now).map(
        ({
          name,
          pid,
          state: is,
          restarts,
          rssBytes,
          cpu,
          delay,
          slot
        }) => html`<tr data-process=${name}>
        <th scope="row" title=${pid === null ? nothing : `process ${pid}`}>${name}</th>
        <td><span class="state" data-level=${is === 'ready' ? 'good' : 'fair'}>${is === 'ready' ? 'running' : is}${restarts > 0 ? `, replaced ${restarts} ×` : ''}</span></td>
        <td class="number"><div class="bar-cell">${figure('process-memory-bytes', rssBytes, bytes(rssBytes))}${meter(memory.limitBytes > 0 ? (rssBytes ?? 0) / memory.limitBytes : 0, 'plain')}</div></td>
        <td class="number from-s">${figure('process-cpu', cpu, percent(cpu))}</td>
        <td class="number from-s">${figure('process-loop-delay-ms', delay, duration(delay))}</td>
        <td class="number">${slot === null ? nothing : actButton(recycling, html`Recycle<span class="for-ears"> worker ${slot}</span>`, () => order(`workers/${slot}/recycle`))}</td></tr>`
      )}</tbody></table></div>
    <p class="note">A recycled worker finishes its answers while a new one takes its place.</p>
    ${formProblem(recycling)}
  </section>`
}

/** Processes that run, and workers whose process is not there. @param {Now} now */
function processesOf({ processes, workers }) {
  const there = processes.map((process) => {
    const worker = workers.find(({ pid }) => pid === process.pid)
    return {
      ...process,
      delay: process.loopDelayMs?.p99 ?? null,
      state: process.name === 'primary' ? 'ready' : (worker?.state ?? 'leaving'),
      restarts: worker?.restarts ?? 0,
      slot: worker?.slot ?? null
    }
  })
  const absent = workers
    .filter(({ pid }) => !processes.some((process) => process.pid === pid))
    .map((worker) => {
      const unknown = { rssBytes: null, cpu: null, delay: null, slot: null }
      return { ...worker, name: `worker ${worker.slot}`, ...unknown }
    })
  return [...there, ...absent]
}

/** @type {Readonly<Record<Setting['source'], string>>} */
const SOURCES = {
  default: 'default',
  environment: 'environment',
  file: '.env',
  argument: 'command line'
}

function settingsCard() {
  const { value } = settings
  const shown = value?.settings.filter(
    ({ name, source }) =>
      (!isSetOnly || source !== 'default') && name.includes(wanted.trim().toUpperCase())
  )
  const waiting = value?.settings.filter(({ pending }) => pending !== null).length ?? 0
  return html`<section class="card" aria-labelledby="settings-title">
    <div class="card-head"><h3 id="settings-title">Settings in force</h3>
      <div class="tools">${actButton(reloading, 'Reload the settings', reload)}${waiting === 0 ? nothing : actButton(restarting, 'Restart the gateway', restart)}</div></div>
    ${formProblem(reloading)}${formProblem(restarting)}
    <p class="note">${value?.file ? html`The file is <code>${value.file}</code>. ` : ''}Edit it, then reload: no stream is cut.</p>
    <div class="tools">
      <label class="check"><input type="checkbox" .checked=${isSetOnly} @change=${() => {
        isSetOnly = !isSetOnly
        redraw()
      }}> only those that are set</label>
      <label>Name <input type="search" .value=${wanted} @input=${(
        /** @type {InputEvent} */ { target }
      ) => {
        if (target instanceof HTMLInputElement) wanted = target.value
        redraw()
      }}></label>
    </div>
    ${loadState(settings)}
    ${
      shown === undefined
        ? nothing
        : html`<div class="scroll" tabindex="0" role="region" aria-label="Table of settings"><table id="settings">
      <thead><tr><th scope="col">Setting</th><th scope="col">Value</th><th scope="col">From</th><th scope="col" class="from-m">Meaning</th></tr></thead>
      <tbody>${shown.map(
        ({ name, value: is, source, meaning, needs_restart, pending }) => html`<tr>
        <th scope="row"><code>${name}</code></th>
        <td class="setting-value">${is ?? UNKNOWN}${pending === null ? nothing : html` <span class="state" data-level="fair">${pending} after a restart</span>`}</td>
        <td class="whole-words">${SOURCES[source]}</td>
        <td class="from-m note">${meaning}${needs_restart ? ' Needs a restart.' : ''}</td></tr>`
      )}</tbody></table></div>
      ${shown.length === 0 ? html`<p class="nothing">No setting matches.</p>` : nothing}`
    }
  </section>`
}

function auditCard() {
  return html`<section class="card" aria-labelledby="audit-title"><h3 id="audit-title">Audit log</h3>
    ${loadState(audit)}
    ${audit.value !== null && entries.length === 0 ? html`<p class="nothing">Nothing has been changed here yet.</p>` : nothing}
    ${
      entries.length === 0
        ? nothing
        : html`<div class="scroll" tabindex="0" role="region" aria-label="Table of changes"><table id="audit">
      <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col" class="from-m">Change</th></tr></thead>
      <tbody>${entries.map(
        (entry) => html`<tr data-action=${entry.action}>
        <td>${when(entry.at)}</td><td>${entry.who} <span class="note">${entry.via}, ${entry.from}</span></td>
        <td>${actionOf(entry)} <b>${entry.subject ?? ''}</b></td>
        <td class="from-m note">${changesOf(entry)}</td></tr>`
      )}</tbody></table></div>`
    }
    ${nextEntries === null ? nothing : html`<p><button type="button" class="quiet" ?disabled=${audit.isLoading} @click=${() => void audit.refresh()}>Show older changes</button></p>`}
  </section>`
}

/**
 * @param {Now} now
 * @param {Account} account
 */
function sinceCard(
  { requests, tokens, credits, workerRestarts, dashboards },
  { version, node, startedAt }
) {
  return html`<section class="card" aria-labelledby="since-title"><h3 id="since-title">Version ${version}</h3>
    ${about.value === null ? nothing : html`<p class="note">To update: ${about.value.update}</p>`}
    ${facts(
      [
        [
          'Started',
          figure(
            'started-at',
            startedAt,
            `${date(startedAt)}, ${timeOfDay(startedAt)}`,
            fullTime(startedAt)
          )
        ],
        ['Node', figure('node-version', node, node)],
        ['Requests since the start', quantity('requests-total', requests.total)],
        ['Failed', quantity('requests-failed', requests.failed)],
        [
          'Tokens in',
          figure('tokens-input', tokens.input, short(tokens.input), amount(tokens.input))
        ],
        [
          'Tokens out',
          figure('tokens-output', tokens.output, short(tokens.output), amount(tokens.output))
        ],
        ['Credits', quantity('credits-total', credits.total)],
        ['Workers replaced', quantity('worker-restarts', workerRestarts)],
        ['Open dashboards', quantity('dashboards', dashboards)]
      ],
      'pairs'
    )}
  </section>`
}
