/* Requests: the last ones as they end, and 90 days back by filter. */
import { Change, get, Loaded, valuesOf, withQuery } from './api.js'
import { guard, html, nothing, repeat } from './lit.js'
import { amount, duration, timeOfDay, UNKNOWN } from './format.js'
import { live } from './live-requests.js'
import { choice, field, loadState } from './parts.js'
import { requestDetails, requestHead, requestRow } from './request-row.js'
import { redraw, state } from './state.js'

/** @import { RequestAnswer as Answer, RequestList as List, RequestRow as Row } from './contract.d.ts' */

const SPANS = /** @type {const} */ ([
  ['', 'Any time'],
  ['1h', 'Last hour'],
  ['24h', 'Last 24 hours'],
  ['7d', 'Last 7 days'],
  ['30d', 'Last 30 days'],
  ['90d', 'Last 90 days']
])
const NAMES = ['since', 'key', 'model', 'client', 'status', 'code', 'id', 'failed']
const PAGE_ROWS = 50
/** The filter has nothing that can be refused beside a field. */
const noForm = new Change()

/** A table of requests of which one can be opened. */
export class RequestTable {
  /** @type {Row | null} */
  #open = null
  /** @type {Loaded<Answer> | null} */
  #more = null

  get isOpen() {
    return this.#open !== null
  }

  close() {
    this.#open = null
  }

  /**
   * @param {readonly Row[]} rows
   * @param {string} caption
   * @param {(isOpen: boolean) => void} [onToggle]
   * @param {string} [className]
   */
  view(rows, caption, onToggle, className = '') {
    const toggle = (/** @type {Row} */ row) => {
      this.#open = this.#open?.n === row.n ? null : row
      this.#more = this.#open !== null && row.code !== '' ? answerOf(row) : null
      onToggle?.(this.#open !== null)
      redraw()
    }
    return html`<div class="scroll" tabindex="0" role="region" aria-label="Table of requests"><table class=${`requests ${className}`}>
      <caption class="for-ears">${caption} The button in the first column shows details.</caption>
      ${requestHead}
      <tbody id="requests">${repeat(
        rows.flatMap((row) =>
          row.n === this.#open?.n
            ? [
                { row, isDetails: false },
                { row, isDetails: true }
              ]
            : [{ row, isDetails: false }]
        ),
        ({ row, isDetails }) => `${row.n} ${isDetails}`,
        ({ row, isDetails }) =>
          isDetails
            ? requestDetails(row, this.#more?.value ?? null)
            : guard([row, row.n === this.#open?.n], () =>
                requestRow(row, row.n === this.#open?.n, () => toggle(row))
              )
      )}</tbody>
    </table></div>`
  }
}

/**
 * Asks for what the gateway knows beside the row, such as the meaning of its code. Only an operator may ask.
 * @param {Row} row
 */
function answerOf(row) {
  if (state.session?.role === 'person') return null
  const more = new Loaded(async () => {
    const n = row.n.startsWith('live-') ? await rowNumber(row.id) : row.n
    return n === null ? null : get(`requests/${encodeURIComponent(n)}`)
  })
  void more.refresh()
  return more
}

/**
 * @param {string} id
 * @returns {Promise<string | null>} `null` while it is not in the history
 */
async function rowNumber(id) {
  /** @type {List} */
  const { requests } = await get(withQuery('requests', { id, limit: '1' }))
  return requests.find((row) => row.id === id)?.n ?? null
}

/** Pages of the history, newest first, by one filter. */
export class RequestHistory {
  /** @type {readonly Row[]} Bounded by what the reader asks for, page by page. */
  rows = []
  /** @type {string | null} */
  #next = null
  #path
  #page

  /**
   * @param {string} path `requests`, or `me/requests`
   * @param {Readonly<Record<string, string>>} filter
   */
  constructor(path, filter) {
    this.#path = path
    this.#page = new Loaded(async () => {
      const query = { ...filter, limit: String(PAGE_ROWS), cursor: this.#next ?? '' }
      /** @type {List} */
      const page = await get(withQuery(this.#path, query))
      this.rows = [...this.rows, ...page.requests]
      this.#next = page.next
      return page
    })
    void this.#page.refresh()
  }

  /** The end of the list: more of it, or why there is none. */
  foot() {
    const { value, isLoading, problem } = this.#page
    const isEmpty = this.rows.length === 0
    return html`${isEmpty || problem !== '' ? loadState(this.#page) : nothing}
      ${value !== null && isEmpty && this.#next === null ? html`<p class="nothing">No request matches.</p>` : nothing}
      ${
        this.#next === null
          ? nothing
          : html`<p><button type="button" class="quiet" ?disabled=${isLoading} @click=${() => void this.#page.refresh()}>
            ${value?.complete === false ? `Search further back (so far to ${new Date(value.searched_to).toLocaleString()})` : 'Show older requests'}
          </button></p>`
      }`
  }
}

const table = new RequestTable()
/** @type {RequestHistory | null} */
let past = null
let asked = ''

/** @returns {Record<string, string>} the filter, as the address of the page says */
function filterOf() {
  const { query } = state.route
  return Object.fromEntries(
    NAMES.flatMap((name) => (query.get(name) ? [[name, query.get(name) ?? '']] : []))
  )
}

function toLatest() {
  location.hash = '#/requests'
}

/** @param {SubmitEvent} event */
function onFilter(event) {
  event.preventDefault()
  if (!(event.currentTarget instanceof HTMLFormElement)) return
  const given = Object.entries(valuesOf(event.currentTarget)).filter(([, value]) => value !== '')
  const query = String(new URLSearchParams(given))
  location.hash = query === '' ? '#/requests' : `#/requests?${query}`
}

export const requests = {
  title: 'Requests',
  leave() {
    table.close()
    live.pause(false)
    past = null
    asked = ''
  },
  view() {
    const filter = filterOf()
    const now = String(new URLSearchParams(filter))
    if (now !== asked) {
      asked = now
      table.close()
      past = now === '' ? null : new RequestHistory('requests', { since: '90d', ...filter })
    }
    const keys = state.keys?.list.map(({ name }) => name) ?? []
    const isWide = matchMedia('(min-width: 40em)').matches
    return html`
      <h2 class="place-title">Requests</h2>
      <details class="card filter-box" ?open=${isWide || now !== ''}><summary>Filter</summary>
      <form class="filter" @submit=${onFilter} @change=${(
        /** @type {Event} */ { currentTarget }
      ) => {
        if (currentTarget instanceof HTMLFormElement) currentTarget.requestSubmit()
      }}>
          ${choice('since', 'Time', SPANS, filter['since'] ?? '')}
          ${field(noForm, { name: 'key', label: 'Key', value: filter['key'] ?? '', list: unique(keys) })}
          ${field(noForm, { name: 'model', label: 'Model', value: filter['model'] ?? '', list: unique(live.rows.map(({ model }) => model)) })}
          ${field(noForm, { name: 'client', label: 'Client', value: filter['client'] ?? '', list: unique(live.rows.map(({ client }) => client)) })}
          ${field(noForm, { name: 'status', label: 'Status', value: filter['status'] ?? '', mode: 'numeric' })}
          ${field(noForm, { name: 'code', label: 'Code', value: filter['code'] ?? '', list: unique(live.rows.map(({ code }) => code)) })}
          ${field(noForm, { name: 'id', label: 'Request id', value: filter['id'] ?? '' })}
          <label class="check"><input type="checkbox" name="failed" value="true" .checked=${filter['failed'] === 'true'}> only failed</label>
          <div class="tools"><button class="quiet">Search</button>
          ${now === '' ? nothing : html`<button type="button" class="quiet" @click=${toLatest}>Show the latest</button>`}</div>
      </form></details>
      ${past === null ? running() : nothing}
      <section class="card" aria-labelledby="requests-title">
        <div class="card-head">
          <h3 id="requests-title">${past === null ? 'Latest requests' : 'Matching requests'}</h3>
          ${past === null ? pauseButton() : nothing}
        </div>
        ${list()}
      </section>`
  }
}

/** @type {Readonly<Record<import('../feed.ts').RunningRequest['step'], string>>} */
const STEPS = {
  reading: 'reading the request',
  waiting: 'waiting for a connection',
  asking: 'waiting for Kiro',
  answering: 'answering'
}

/** Requests under way, the oldest first. */
function running() {
  const { now } = state
  if (now === null || now.running.length === 0) return nothing
  const more = Math.max(0, now.requests.inFlight - now.running.length)
  return html`<section class="card" aria-labelledby="running-title">
    <div class="card-head"><h3 id="running-title">Running now</h3>${more === 0 ? nothing : html`<p class="note">and ${amount(more)} more</p>`}</div>
    <table id="running"><thead><tr>
      <th scope="col">Since</th><th scope="col" class="from-s">Key</th><th scope="col" class="from-l">Client</th><th scope="col" class="from-s">Model</th><th scope="col">Step</th><th scope="col" class="number">Time</th>
    </tr></thead><tbody>${now.running.map(
      ({ id, at, key, client, model, step }) => html`<tr data-request-id=${id} title=${id}>
      <td>${timeOfDay(at)}</td>
      <td class="from-s cut">${key}</td>
      <td class="from-l cut">${client}</td>
      <td class="from-s cut">${model === '' ? UNKNOWN : model}</td>
      <td>${STEPS[step]}</td>
      <td class="number">${duration(Math.max(0, now.at - at))}</td></tr>`
    )}</tbody></table>
  </section>`
}

/** @param {readonly string[]} all */
function unique(all) {
  return [...new Set(all.filter((one) => one !== ''))].toSorted()
}

function list() {
  if (past !== null)
    return html`${past.rows.length === 0 ? nothing : table.view(past.rows, 'Requests that match, newest first.')}${past.foot()}`
  if (live.rows.length === 0) {
    return html`<p class="nothing" id="no-requests">No requests since the start. Older ones: choose a time above.</p>`
  }
  return table.view(live.rows, 'The last 100 requests, newest first.', (isOpen) => {
    if (isOpen || live.held.length === 0) live.pause(isOpen)
  })
}

function pauseButton() {
  const { isPaused, held } = live
  const more =
    held.length === 0 ? '' : ` (${held.length}${held.length === 100 ? ' or more' : ''} new)`
  return html`<button type="button" class="quiet" id="pause" aria-pressed=${String(isPaused)} @click=${() => {
    if (isPaused) table.close()
    live.pause(!isPaused)
  }}>${isPaused ? `Resume${more}` : 'Pause the list'}</button>`
}
