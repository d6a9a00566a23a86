/* Overview: is all well, how many credits are left, what happens now, and the last hour. */
import { get, Loaded } from './api.js'
import { bars, daysOf } from './bars.js'
import { Charts } from './charts.js'
import { html, nothing } from './lit.js'
import { live } from './live-requests.js'
import { kiroSignIn, leaveKiroSignIn } from './kiro-sign-in.js'
import {
  amount,
  balance,
  bytes,
  date,
  duration,
  fullTime,
  plural,
  short,
  UNKNOWN
} from './format.js'
import { credits, figure, meter, quantity, readOnlyNote } from './parts.js'
import { RequestTable } from './requests.js'
import { startSteps } from './start.js'
import { history, redraw, state } from './state.js'

/** @import { Now, ShownAccount as Account } from '../feed.ts' */
/** @import { Usage } from './contract.d.ts' */

const SHOWN_REQUESTS = 6
const USAGE_MS = 60_000
/** The same once something has been used since. */
const USED_MS = 10_000

export const charts = new Charts(history)
const table = new RequestTable()
/** @type {readonly import('./contract.d.ts').RequestRow[] | null} Rows that stand still while details are read. */
let still = null
/** @type {Loaded<Usage>} */
const byDay = new Loaded(() => get('usage?by=day&since=30d'))
let askedAt = -Infinity
/** Credits since the start, as they were then. */
let askedTotal = 0
/** Stays until the reader goes on: the answer to a test prompt must not vanish with its end. */
let isFirstVisit = false

export const overview = {
  title: 'Overview',
  leave() {
    table.close()
    still = null
    askedAt = -Infinity
    isFirstVisit = false
    leaveKiroSignIn()
  },
  view() {
    const { now, account } = state
    if (now === null || account === null) return html``
    const { total } = now.credits
    if (performance.now() - askedAt > (total === askedTotal ? USAGE_MS : USED_MS)) {
      askedAt = performance.now()
      askedTotal = total
      void byDay.refresh()
    } else byDay.retry()
    // Also without a request ever: the days of the books tell.
    const isNew =
      now.requests.total === 0 && live.rows.length === 0 && (byDay.value?.total.requests ?? 0) === 0
    isFirstVisit ||= isNew && byDay.value !== null
    const isOut = account.signIn.state === 'signed-out'
    const hasPlan = account.quota !== null && !account.isSimulated
    return html`<h2 class="for-ears">Overview</h2>
      ${isOut && !isFirstVisit ? signInCard() : nothing}
      ${isFirstVisit && !hasPlan ? nothing : creditCard(now, account)}
      ${
        isFirstVisit
          ? html`${startSteps()}${live.rows.length === 0 ? nothing : html`${requestCard()}<p><button type="button" class="primary" @click=${goOn}>Show the overview</button></p>`}`
          : html`${requestCard()}${tiles(now)}${lastHour(now)}`
      }`
  }
}

/**
 * @param {Now} now
 * @param {Account} account
 */
function creditCard(now, { quota, outlook, isSimulated, signIn }) {
  const { remaining = null, limit = null, used = null, resetsAt = null, plan = null } = quota ?? {}
  const unit = quota?.unit ?? 'credits'
  const { perDay = null, usedUpAt = null, outsideToday = null } = outlook ?? {}
  const days = byDay.value
  const today = days?.rows.find(({ day }) => day === days.until)?.credits ?? null
  // A problem of the sign-in is said above.
  const problem = signIn.isUsable
    ? (quota?.problem?.message ?? 'Kiro has not told the plan yet.')
    : ''
  const unknown = isSimulated ? 'The simulator has no plan.' : problem
  return html`<section class="card credits" aria-labelledby="credits-title">
    <div>
      <h3 id="credits-title">Credits left</h3>
      <p class="big">${figure('quota-remaining', remaining, balance(remaining))}${limit === null ? nothing : html` <small>of ${amount(limit)} ${unit}</small>`}</p>
      ${used !== null && limit !== null && limit > 0 ? meter(used / limit) : nothing}
      <p class="note">${remaining === null ? unknown : html`${resetsAt === null ? '' : html`Resets ${figure('quota-resets', resetsAt, date(resetsAt), fullTime(resetsAt))}. `}${forecastOf(perDay, usedUpAt)}`}</p>
    </div>
    <dl class="facts">
      <div><dt>Used today</dt><dd>${figure('credits-today', today, credits(today))}</dd></div>
      <div><dt>In the last hour</dt><dd>${quantity('credits-per-hour', now.credits.perHour)}</dd></div>
      <div class="from-s-flex"><dt>Used elsewhere today</dt><dd>${figure('plan-outside', outsideToday, credits(outsideToday))}</dd></div>
      <div class="from-s-flex"><dt>Plan</dt><dd>${figure('plan', plan, plan ?? UNKNOWN)}</dd></div>
    </dl>
    <div class="from-m-block">${
      days === null || days.total.credits === 0
        ? nothing
        : html`<div class="card-head"><h3>Credits by day</h3><a href="#/usage">All usage</a></div>
        ${bars({
          label: 'Credits by day',
          columns: daysOf(days.since, days.until).map((day) => ({
            day,
            parts: [days.rows.find((row) => row.day === day)?.credits ?? 0]
          })),
          tell: credits
        })}`
    }</div>
  </section>`
}

/**
 * @param {number | null} perDay
 * @param {number | null} usedUpAt
 */
function forecastOf(perDay, usedUpAt) {
  if (perDay === null) return ''
  const lasts = usedUpAt === null ? 'they last until then' : `they last until ${date(usedUpAt)}`
  return html`At the usual ${amount(perDay)} a day, ${figure('plan-lasts', usedUpAt ?? perDay, lasts)}.`
}

function goOn() {
  isFirstVisit = false
  askedAt = -Infinity // the first requests are among the credits of today
  leaveKiroSignIn()
  redraw()
}

function signInCard() {
  return html`<section class="card" aria-labelledby="out-title">
    <h3 id="out-title">Sign in to Kiro</h3>${readOnlyNote()}${kiroSignIn()}</section>`
}

function requestCard() {
  const rows = still ?? live.rows.slice(0, SHOWN_REQUESTS)
  return html`<section class="card" aria-labelledby="latest-title">
    <div class="card-head"><h3 id="latest-title">Latest requests</h3><a href="#/requests">All requests</a></div>
    ${
      rows.length === 0
        ? html`<p class="nothing">No requests since the start.</p>`
        : table.view(rows, 'The latest requests, newest first.', (isOpen) => {
            still = isOpen ? (still ?? live.rows.slice(0, SHOWN_REQUESTS)) : null
            redraw()
          })
    }
  </section>`
}

/** @param {Now} now */
function tiles(now) {
  const { requests, waiting, tokens, latency, memory, cpu } = now
  const paused = waiting.pausedUntil !== null && waiting.pausedUntil > now.at
  const waitLevel = waiting.permits === 0 ? 'good' : waiting.longestMs > 10_000 ? 'bad' : 'fair'
  const share = (cpu.cores / cpu.limit) * 100
  return html`<section aria-labelledby="now-title"><h3 class="for-ears" id="now-title">Now</h3><dl class="tiles">
    ${tile('Streams', quantity('streams', requests.streams), html`${quantity('requests-in-flight', requests.inFlight)} in progress`)}
    ${tile('Waiting', quantity('permits-waiting', waiting.permits), paused ? 'pause requested by Kiro' : html`longest ${time('longest-wait-ms', waiting.longestMs)}`, waitLevel)}
    ${tile('Requests a minute', rate('requests-per-minute', requests.perMinute), html`${rate('errors-per-minute', requests.failedPerMinute)} of them failed`)}
    ${tile('Tokens a minute', rate('tokens-per-minute', tokens.perMinute), html`${rate('input-tokens-per-minute', tokens.inputPerMinute)} in, ${rate('output-tokens-per-minute', tokens.outputPerMinute)} out`)}
    ${tile('First token, median', time('first-token-p50-ms', latency.firstMs?.p50 ?? null), html`95 % within ${time('first-token-p95-ms', latency.firstMs?.p95 ?? null)}`)}
    ${tile('Total time, median', time('total-p50-ms', latency.totalMs?.p50 ?? null), html`95 % within ${time('total-p95-ms', latency.totalMs?.p95 ?? null)}`)}
    ${tile('Memory', figure('memory-bytes', memory.usedBytes, bytes(memory.usedBytes)), html`of ${figure('memory-limit-bytes', memory.limitBytes, bytes(memory.limitBytes))}`, levelOf(memory.usedBytes, memory.limitBytes))}
    ${tile('CPU', figure('cpu-percent', share, `${amount(Number(share.toFixed(1)))} %`), html`of ${figure('cpu-limit', cpu.limit, plural(cpu.limit, 'core'))}`, levelOf(cpu.cores, cpu.limit))}
  </dl></section>`
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {unknown} note
 * @param {string} [level]
 */
function tile(name, value, note, level = 'good') {
  return html`<div class="tile" data-level=${level}><dt>${name}</dt><dd><b>${value}</b></dd><dd class="note">${note}</dd></div>`
}

/**
 * @param {number} used
 * @param {number} limit
 */
function levelOf(used, limit) {
  if (used < limit * 0.85) return 'good'
  return used < limit * 0.95 ? 'fair' : 'bad'
}

/** @param {Now} now */
function lastHour(now) {
  const recent = now.errors.filter(({ lastHour: count }) => count > 0)
  const most = recent.reduce((one, { lastHour: count }) => Math.max(one, count), 1)
  return html`<section aria-labelledby="charts-title"><h3 id="charts-title">The last hour</h3>
      <div class="charts">${charts.figures}</div></section>
    <section class="card" aria-labelledby="errors-title"><h3 id="errors-title">Errors of the last hour</h3>
      ${
        recent.length === 0
          ? html`<p class="nothing" id="no-errors">None.</p>`
          : html`<table id="errors"><thead><tr><th scope="col">Code</th><th scope="col" class="from-s">Whose fault</th><th scope="col" class="number">Count</th></tr></thead>
          <tbody>${recent.map(
            ({ code, fault, lastHour: count, total }) => html`<tr data-error-code=${code}>
            <td><div class="bar-cell"><a href=${`#/requests?${new URLSearchParams({ since: '1h', code })}`}>${code}</a>${meter(count / most, 'plain')}</div></td>
            <td class="from-s">${FAULTS[fault]}</td>
            <td class="number">${figure('errors-last-hour', count, amount(count), `${amount(total)} since the start`)}</td></tr>`
          )}</tbody></table>`
      }
    </section>`
}

const FAULTS = { client: 'the client', upstream: 'Kiro', gateway: 'this gateway' }

/**
 * @param {string} name
 * @param {number} value
 */
function rate(name, value) {
  return figure(name, value, short(Math.round(value)))
}

/**
 * @param {string} name
 * @param {number | null} value
 */
function time(name, value) {
  return figure(name, value, duration(value))
}
