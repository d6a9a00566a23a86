/* Usage: credits, tokens and requests of 90 days by day, person, model or client. */
import { get, Loaded, withQuery } from './api.js'
import { bars, daysOf } from './bars.js'
import { html, nothing } from './lit.js'
import { amount, column, short, shortDay } from './format.js'
import { choice, credits, loadState, meter } from './parts.js'
import { redraw, state } from './state.js'

/** @import { Usage, UsageRow } from './contract.d.ts' */
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
  /** @type {Loaded<{ split: Split, days: Usage, inAll: readonly UsageRow[] }>} */
  #used

  /**
   * @param {string} path `usage`, or `me/usage`
   * @param {{ key?: string, split?: Split }} [only]
   */
  constructor(path, { key = '', split = 'key' } = {}) {
    this.#path = path
    this.#key = key
    this.#split = split
    this.#used = new Loaded(async () => {
      const asked = this.#split
      const days = await this.#ask({ by: 'day', split: asked })
      // The days have all that the sums need, unless there are too many of them.
      if (!days.truncated) return { split: asked, days, inAll: sumsBy(days.rows, 'split', asked) }
      const { rows, total } = await this.#ask({ by: asked })
      return { split: asked, days: { ...days, total }, inAll: rows }
    })
    this.refresh()
  }

  refresh() {
    void this.#used.refresh()
  }

  /**
   * @param {Record<string, string>} query
   * @returns {Promise<Usage>}
   */
  #ask(query) {
    return get(withQuery(this.#path, { ...this.#common(), ...query }))
  }

  #common() {
    return { since: this.#span, key: this.#key }
  }

  view() {
    const splits = SPLITS.filter(([name]) =>
      this.#key === '' && this.#path === 'usage' ? true : name !== 'key'
    )
    const used = this.#used.value
    const total = used?.days.total
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
        ${loadState(this.#used)}
        ${used === null ? nothing : this.#chart(used.days)}
      </section>
      ${
        used === null
          ? nothing
          : html`<section class="card" aria-labelledby="usage-split-title"><h3 id="usage-split-title">By ${wordOf(used.split)}</h3>
        ${this.#table(used.inAll, wordOf(used.split), (row) => this.#nameOf(used.split, row[used.split] ?? ''))}</section>`
      }
      ${
        used === null || used.days.rows.length === 0
          ? nothing
          : html`<details class="card"><summary>By day, as a table</summary>
        ${this.#table(sumsBy(used.days.rows, 'day', 'day').toReversed(), 'day', (row) => shortDay(row.day ?? ''))}
        ${used.days.truncated ? html`<p class="note">There are more rows than fit here. The CSV has all of them.</p>` : nothing}</details>`
      }`
  }

  /**
   * @param {Split} split
   * @param {string} name
   */
  #nameOf(split, name) {
    const text = name === '' ? 'unknown' : name
    const isLink = split === 'key' && this.#key === '' && state.session?.role !== 'person'
    return isLink
      ? html`<a href=${`#/requests?${new URLSearchParams({ since: this.#span, key: name })}`}>${text}</a>`
      : text
  }

  #label() {
    return FIGURES.find(([name]) => name === this.#figure)?.[1] ?? ''
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
    const most = Math.max(Number.MIN_VALUE, ...rows.map((row) => row[this.#figure]))
    return html`<div class="scroll" tabindex="0" role="region" aria-label=${`Usage by ${word}`}><table class="usage">
      <thead><tr><th scope="col">${word.replace(/^./, (letter) => letter.toUpperCase())}</th><th class="from-m share" scope="col"><span class="for-ears">Share</span></th><th scope="col" class="number">Credits</th><th scope="col" class="number">Requests</th><th scope="col" class="number from-s">Failed</th><th scope="col" class="number from-s">Tokens in</th><th scope="col" class="number from-s">Tokens out</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr><th scope="row" class="name" title=${row.key ?? row.model ?? row.client ?? nothing}>${name(row)}</th><td class="from-m share">${meter(row[this.#figure] / most, 'plain')}</td><td class="number" title=${Number(row.credits.toFixed(6))}>${column.credits(row.credits)}</td><td class="number">${amount(row.requests)}</td><td class="number from-s">${amount(row.failed)}</td><td class="number from-s">${column.tokens(row.input_tokens)}</td><td class="number from-s">${column.tokens(row.output_tokens)}</td></tr>`)}</tbody>
    </table></div>`
  }
}

/**
 * Adds up the rows of a day, or of a person, model or client: days as they come, others with the most credits first.
 * @param {readonly UsageRow[]} rows by day and split
 * @param {'day' | 'split'} by
 * @param {'day' | Split} name that the sums have it under
 * @returns {UsageRow[]}
 */
function sumsBy(rows, by, name) {
  const sums = [...Map.groupBy(rows, (row) => row[by] ?? '')].map(([one, of]) => {
    const sum = (/** @type {keyof import('./contract.d.ts').Sums} */ figure) =>
      of.reduce((total, row) => total + row[figure], 0)
    return {
      [name]: one,
      requests: sum('requests'),
      failed: sum('failed'),
      input_tokens: sum('input_tokens'),
      output_tokens: sum('output_tokens'),
      cached_tokens: sum('cached_tokens'),
      credits: sum('credits')
    }
  })
  return by === 'day'
    ? sums.toSorted((first, second) => String(first['day']).localeCompare(String(second['day'])))
    : sums.toSorted((first, second) => second.credits - first.credits)
}

/** @param {Split} split */
function wordOf(split) {
  return (SPLITS.find(([name]) => name === split)?.[1] ?? '').toLowerCase()
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
