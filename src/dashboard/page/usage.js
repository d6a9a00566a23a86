/* Usage: credits, tokens and requests of 90 days by day, person, model or client. */
import { get, Loaded, withQuery } from './api.js'
import { bars, daysOf } from './bars.js'
import { html, nothing } from './lit.js'
import { amount, short, shortDay } from './format.js'
import { choice, credits, loadState } from './parts.js'
import { redraw, state } from './state.js'

/** @typedef {import('./contract.d.ts').Usage} Usage */
/** @typedef {import('./contract.d.ts').UsageRow} UsageRow */
/** @typedef {'key' | 'model' | 'client'} Split */

const SPANS = /** @type {const} */ ([
  ['7d', 'Last 7 days'],
  ['30d', 'Last 30 days'],
  ['90d', 'Last 90 days']
])
const SPLITS = /** @type {const} */ ([
  ['key', 'Person'],
  ['model', 'Model'],
  ['client', 'Client']
])
const FIGURES = /** @type {const} */ ([
  ['credits', 'Credits'],
  ['requests', 'Requests'],
  ['input_tokens', 'Tokens in'],
  ['output_tokens', 'Tokens out']
])
const MOST_SERIES = 6

/** Usage of all keys or of one: a chart by day, and tables by day and by what splits it. */
export class UsageView {
  #span = '30d'
  /** @type {Split} */
  #split = 'key'
  /** @type {(typeof FIGURES)[number][0]} */
  #figure = 'credits'
  #path
  #key
  #byDay
  #inAll

  /**
   * @param {string} path `usage`, or `me/usage`
   * @param {{ key?: string, split?: Split }} [only]
   */
  constructor(path, { key = '', split = 'key' } = {}) {
    this.#path = path
    this.#key = key
    this.#split = split
    const ask = (/** @type {Record<string, string>} */ query) =>
      get(withQuery(path, { ...this.#common(), ...query }))
    this.#byDay = new Loaded(
      /** @returns {Promise<Usage>} */ () => ask({ by: 'day', split: this.#split })
    )
    this.#inAll = new Loaded(/** @returns {Promise<Usage>} */ () => ask({ by: this.#split }))
    this.refresh()
  }

  refresh() {
    void this.#byDay.refresh()
    void this.#inAll.refresh()
  }

  #common() {
    return { since: this.#span, key: this.#key }
  }

  view() {
    const splits = SPLITS.filter(([name]) =>
      this.#key === '' && this.#path === 'usage' ? true : name !== 'key'
    )
    const total = this.#inAll.value?.total
    return html`
      <div class="card filter">
        ${choice('span', 'Time', SPANS, this.#span, (value) => {
          this.#span = value
          this.refresh()
        })}
        ${choice('split', 'By', splits, this.#split, (value) => {
          this.#split = SPLITS.find(([name]) => name === value)?.[0] ?? 'key'
          this.refresh()
        })}
        ${choice('figure', 'Figure', FIGURES, this.#figure, (value) => {
          this.#figure = FIGURES.find(([name]) => name === value)?.[0] ?? 'credits'
          redraw()
        })}
        <p class="tools"><a class="quiet" download href=${`admin/v1/${withQuery(this.#path, { by: 'day', split: this.#split, ...this.#common(), format: 'csv' })}`}>Download CSV</a></p>
      </div>
      <section class="card" aria-labelledby="usage-chart-title">
        <div class="card-head"><h3 id="usage-chart-title">${this.#label()} by day</h3>
        ${total === undefined ? nothing : html`<p class="note"><b data-metric="usage-credits" data-value=${total.credits}>${credits(total.credits)}</b> credits, <b>${amount(total.requests)}</b> requests, <b>${short(total.input_tokens)}</b> tokens in, <b>${short(total.output_tokens)}</b> out</p>`}</div>
        ${loadState(this.#byDay)}
        ${this.#byDay.value === null ? nothing : this.#chart(this.#byDay.value)}
      </section>
      <div class="columns even">
        <section class="card" aria-labelledby="usage-split-title"><h3 id="usage-split-title">By ${this.#splitWord()}</h3>
          ${loadState(this.#inAll)}
          ${this.#inAll.value === null ? nothing : this.#table(this.#inAll.value.rows, this.#splitWord(), (row) => this.#nameOf(row[this.#split] ?? ''))}</section>
        <section class="card" aria-labelledby="usage-day-title"><h3 id="usage-day-title">By day</h3>
          ${this.#byDay.value === null ? nothing : this.#table(sumsByDay(this.#byDay.value.rows), 'day', (row) => shortDay(row.day ?? ''))}
          ${this.#byDay.value?.truncated === true ? html`<p class="note">There is more than fits here. The CSV has all of it.</p>` : nothing}</section>
      </div>`
  }

  /** @param {string} name */
  #nameOf(name) {
    const text = name === '' ? 'unknown' : name
    const isLink = this.#split === 'key' && this.#key === '' && state.session?.role !== 'person'
    return isLink
      ? html`<a href=${`#/requests?${new URLSearchParams({ since: this.#span, key: name })}`}>${text}</a>`
      : text
  }

  #label() {
    return FIGURES.find(([name]) => name === this.#figure)?.[1] ?? ''
  }

  #splitWord() {
    return (SPLITS.find(([name]) => name === this.#split)?.[1] ?? '').toLowerCase()
  }

  /** @param {Usage} usage */
  #chart({ rows, since, until }) {
    const value = (/** @type {UsageRow} */ row) => row[this.#figure]
    /** @type {Map<string, number>} Bounded by the rows of one answer. */
    const sums = new Map()
    for (const row of rows) sums.set(row.split ?? '', (sums.get(row.split ?? '') ?? 0) + value(row))
    const names = [...sums].toSorted(([, one], [, other]) => other - one).map(([name]) => name)
    const shown = names.slice(0, MOST_SERIES)
    const series = names.length > MOST_SERIES ? [...shown, 'others'] : shown
    const byDay = Map.groupBy(rows, ({ day }) => day ?? '')
    const columns = daysOf(since, until).map((day) => {
      const of = byDay.get(day) ?? []
      const parts = series.map((name, index) =>
        of
          .filter(({ split = '' }) =>
            index < MOST_SERIES ? split === name : !shown.includes(split)
          )
          .reduce((sum, row) => sum + value(row), 0)
      )
      return { day, parts }
    })
    return bars({
      label: `${this.#label()} by day`,
      columns,
      series: series.map((name) => (name === '' ? 'unknown' : name)),
      tell: (one) => (this.#figure === 'credits' ? credits(one) : short(Math.round(one)))
    })
  }

  /**
   * @param {readonly UsageRow[]} rows
   * @param {string} word
   * @param {(row: UsageRow) => unknown} name
   */
  #table(rows, word, name) {
    if (rows.length === 0) return html`<p class="nothing">Nothing was used in this time.</p>`
    return html`<div class="scroll" tabindex="0" role="region" aria-label=${`Usage by ${word}`}><table>
      <thead><tr><th scope="col">${word.replace(/^./, (letter) => letter.toUpperCase())}</th><th scope="col" class="number">Credits</th><th scope="col" class="number">Requests</th><th scope="col" class="number from-s">Failed</th><th scope="col" class="number from-s">Tokens in</th><th scope="col" class="number from-s">out</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr><th scope="row">${name(row)}</th><td class="number">${credits(row.credits)}</td><td class="number">${amount(row.requests)}</td><td class="number from-s">${amount(row.failed)}</td><td class="number from-s">${short(row.input_tokens)}</td><td class="number from-s">${short(row.output_tokens)}</td></tr>`)}</tbody>
    </table></div>`
  }
}

/**
 * @param {readonly UsageRow[]} rows by day and split
 * @returns {readonly UsageRow[]} newest first
 */
function sumsByDay(rows) {
  const days = [...Map.groupBy(rows, ({ day }) => day ?? '')].map(([day, of]) => {
    const sum = (/** @type {keyof import('./contract.d.ts').Sums} */ name) =>
      of.reduce((total, row) => total + row[name], 0)
    return {
      day,
      requests: sum('requests'),
      failed: sum('failed'),
      input_tokens: sum('input_tokens'),
      output_tokens: sum('output_tokens'),
      cached_tokens: sum('cached_tokens'),
      credits: sum('credits')
    }
  })
  return days.toSorted((one, other) => other.day.localeCompare(one.day))
}

/** @type {UsageView | null} */
let shown = null

export const usage = {
  title: 'Usage',
  leave() {
    shown = null
  },
  view() {
    shown ??= new UsageView('usage')
    return html`<h2 class="place-title">Usage</h2>${shown.view()}`
  }
}
