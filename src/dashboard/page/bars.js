/* Bars by day, stacked by key, model or client. The table below the chart has the same figures. */
import { html, nothing } from './lit.js'
import { shortDay } from './format.js'

/** @typedef {{ day: string, parts: readonly number[] }} Column */

/** @param {number} index of a series; further ones share the last colour */
export function colourOf(index) {
  return `var(--bar-${Math.min(index, 6) + 1})`
}

/**
 * @param {{ label: string, columns: readonly Column[], series?: readonly string[], tell: (value: number) => string }} plan
 */
export function bars({ label, columns, series = [], tell }) {
  const sums = columns.map(({ parts }) => parts.reduce((sum, one) => sum + one, 0))
  const most = Math.max(0, ...sums)
  const [first] = columns
  const last = columns.at(-1)
  return html`<figure class="bars-chart">
    <div class="bars-scale" aria-hidden="true"><span>${tell(most)}</span><span>0</span></div>
    <div class="bars-columns" role="img" aria-label=${`${label}: at most ${tell(most)} a day.`}>
      ${columns.map(
        (
          { day, parts },
          index
        ) => html`<span class="bars-column" title=${`${shortDay(day)}: ${tell(sums[index] ?? 0)}`}>
        ${parts.map((value, part) => (value > 0 && most > 0 ? html`<i .style=${`height: ${((value / most) * 100).toFixed(2)}%; background: ${colourOf(part)}`}></i>` : nothing))}
      </span>`
      )}
    </div>
    <div class="bars-days" aria-hidden="true"><span>${first === undefined ? '' : shortDay(first.day)}</span><span>${last === undefined ? '' : shortDay(last.day)}</span></div>
    ${series.length === 0 ? nothing : html`<ul class="legend">${series.map((name, index) => html`<li><i class="swatch" .style=${`background: ${colourOf(index)}`}></i>${name}</li>`)}</ul>`}
  </figure>`
}

const DAY_MS = 86_400_000

/**
 * All days of a span, also those without a row.
 * @param {string} since `2026-09-01`
 * @param {string} until
 */
export function daysOf(since, until) {
  const from = Date.parse(since)
  const days = Math.min(400, Math.round((Date.parse(until) - from) / DAY_MS) + 1)
  return Array.from({ length: Math.max(0, days) }, (_, index) =>
    new Date(from + index * DAY_MS).toISOString().slice(0, 10)
  )
}
