/* Bars by day, stacked by key, model or client. The table below the chart has the same figures. */
import { html, nothing } from './lit.js'
import { shortDay } from './format.js'
import { redraw } from './state.js'

/** @typedef {{ day: string, parts: readonly number[] }} Column */

/** The day under the pointer, and the chart that it is of. */
let pointed = { label: '', day: '' }

/**
 * @param {string} label
 * @param {string} day
 */
function point(label, day) {
  if (pointed.label === label && pointed.day === day) return
  pointed = { label, day }
  redraw()
}

/** @param {number} index of a series; further ones share the last colour */
export function colourOf(index) {
  return `var(--series-${Math.min(index, 6) + 1})`
}

/** Round ends of a scale, of which the half is round, too. */
const ENDS = [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10]

/** @param {number} most */
function endOfScale(most) {
  if (most <= 0) return 0
  const power = 10 ** Math.floor(Math.log10(most))
  return Number(((ENDS.find((end) => end * power >= most) ?? 10) * power).toPrecision(3))
}

/**
 * @param {{ label: string, columns: readonly Column[], series?: readonly string[], tell: (value: number) => string }} plan
 */
export function bars({ label, columns, series = [], tell }) {
  const sums = columns.map(({ parts }) => parts.reduce((sum, one) => sum + one, 0))
  const most = Math.max(0, ...sums)
  const end = endOfScale(most)
  const [first] = columns
  const last = columns.at(-1)
  const at = pointed.label === label ? columns.findIndex(({ day }) => day === pointed.day) : -1
  const of = (/** @type {number} */ part) =>
    at === -1
      ? columns.reduce((sum, { parts }) => sum + (parts[part] ?? 0), 0)
      : (columns[at]?.parts[part] ?? 0)
  return html`<figure class="bars-chart">
    <div class="bars-scale" aria-hidden="true"><span>${tell(end)}</span><span>${tell(end / 2)}</span><span>0</span></div>
    <div class="bars-columns" role="img" aria-label=${`${label}: at most ${tell(most)} a day.`} @pointerleave=${() => point('', '')}>
      ${columns.map(
        (
          { day, parts },
          index
        ) => html`<span class="bars-column" title=${`${shortDay(day)}: ${tell(sums[index] ?? 0)}`} @pointerenter=${() => point(label, day)}>
        ${parts.map((value, part) => (value > 0 && end > 0 ? html`<i .style=${`height: ${((value / end) * 100).toFixed(2)}%; background: ${colourOf(part)}`}></i>` : nothing))}
      </span>`
      )}
    </div>
    <div class="bars-days" aria-hidden="true"><span>${first === undefined ? '' : shortDay(first.day)}</span>
      ${at === -1 ? nothing : html`<b>${shortDay(columns[at]?.day ?? '')}: ${tell(sums[at] ?? 0)}</b>`}
      <span>${last === undefined ? '' : shortDay(last.day)}</span></div>
    ${series.length === 0 ? nothing : html`<ul class="legend">${series.map((name, index) => html`<li><i class="swatch" .style=${`background: ${colourOf(index)}`}></i><span class="cut" title=${name}>${name}</span><b>${tell(of(index))}</b></li>`)}</ul>`}
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
