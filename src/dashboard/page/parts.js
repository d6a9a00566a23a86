/* Pieces that several places use: figures, meters, facts, fields, text to copy. */
import { html, nothing } from './lit.js'
import { amount, date, day, duration, fullTime, moment, timeOfDay, UNKNOWN } from './format.js'
import { change, state, whyReadOnly } from './state.js'

/** @import { Optional, View } from './lit.js' */
/** @import { Change } from './api.js' */

/**
 * A figure: how it reads, and exactly what it is.
 * @param {string} name
 * @param {number | string | null} value
 * @param {string} text
 * @param {string} [title]
 */
export function figure(name, value, text, title = '') {
  return html`<span data-metric=${name} data-value=${value ?? nothing} title=${title || nothing}>${text}</span>`
}

/**
 * A figure that is a number of things, or of credits.
 * @param {string} name
 * @param {number | null} value
 */
export function quantity(name, value) {
  return figure(name, value, amount(value))
}

/**
 * @param {number} share
 * @param {string} [level]
 * @param {number} [reserved] share that is reserved beside it
 */
export function meter(share, level = levelOfShare(share), reserved = 0) {
  const part = Math.min(1, Math.max(0, share))
  const more = Math.min(1 - part, Math.max(0, reserved))
  return html`<div class="meter" data-level=${level}>
    <i .style=${`width: ${(part * 100).toFixed(1)}%`}></i>${
      more > 0
        ? html`<i class="reserved" .style=${`width: ${(more * 100).toFixed(1)}%`}></i>`
        : nothing
    }
  </div>`
}

/** @param {number} share */
function levelOfShare(share) {
  return share >= 0.95 ? 'bad' : share >= 0.8 ? 'fair' : 'good'
}

/**
 * @param {readonly (readonly [name: string, value: unknown] | null)[]} pairs those that are `null` are left out
 * @param {string} [className]
 */
export function facts(pairs, className = '') {
  return html`<dl class=${`facts ${className}`}>
    ${pairs.map((pair) => pair && html`<div><dt>${pair[0]}</dt><dd>${pair[1]}</dd></div>`)}
  </dl>`
}

/**
 * Text whose lines break between its words alone: an option such as `--url` stays in one piece.
 * @param {string} text
 */
function inWholeWords(text) {
  return text
    .split(/(\s+)/)
    .map((piece) => (/^\s*$/.test(piece) ? piece : html`<span class="word">${piece}</span>`))
}

/**
 * Text to take along, with its button.
 * @param {string} text
 * @param {string} what for the button's label: `Copy the command`
 */
export function copyable(text, what) {
  return html`<div class="copyable"><pre tabindex="0"><code>${inWholeWords(text)}</code></pre>${copyButton(text, what)}</div>`
}

/**
 * @param {string} text
 * @param {string} what
 */
export function copyButton(text, what) {
  const isCopied = state.copied === text
  const label = !isCopied ? 'Copy' : state.isSelected ? 'Selected: press Ctrl+C' : 'Copied'
  return html`<button type="button" class="quiet" aria-label=${isCopied ? label : `Copy ${what}`}
    @click=${(/** @type {Event} */ event) => void copy(text, event)}>${label}</button>`
}

const COPIED_MS = 3_000

/**
 * Without TLS, only a page from this machine may write to the clipboard.
 * @param {string} text
 * @param {Event} event
 */
async function copy(text, { currentTarget }) {
  let isSelected = false
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    isSelected = true
    const shown = currentTarget instanceof Element ? currentTarget.previousElementSibling : null
    if (shown !== null) getSelection()?.selectAllChildren(shown)
  }
  change({ copied: text, isSelected, announcement: isSelected ? 'Selected.' : 'Copied.' })
  setTimeout(() => {
    if (state.copied === text) change({ copied: '' })
  }, COPIED_MS)
}

/**
 * @typedef {{
 *   name: string, label: string, hint?: string, type?: string, value?: string, isRequired?: boolean,
 *   list?: readonly string[], mode?: 'numeric' | 'decimal' | 'url' | 'text', autocomplete?: string
 * }} Field
 */

/**
 * A field with its label, its hint and, beside it, what is wrong with it.
 * @param {Change} form
 * @param {Field} field
 */
export function field(form, { name, label, hint = '', type = 'text', value = '', ...more }) {
  const problem = form.param === name ? form.problem : ''
  const { isRequired = false, list = [], mode, autocomplete = 'off' } = more
  return html`<div class="field">
    <label for=${`f-${name}`}>${label}</label>
    <input id=${`f-${name}`} name=${name} type=${type} .value=${form.shown(name, value)} @input=${form.edit} ?required=${isRequired}
      inputmode=${mode ?? nothing} autocomplete=${autocomplete} spellcheck="false"
      list=${list.length === 0 ? nothing : `l-${name}`}
      aria-invalid=${problem === '' ? nothing : 'true'}
      aria-describedby=${`h-${name} p-${name}`}>
    ${list.length === 0 ? nothing : html`<datalist id=${`l-${name}`}>${list.map((one) => html`<option value=${one}></option>`)}</datalist>`}
    <p class="hint" id=${`h-${name}`}>${hint}</p>
    <p class="problem" id=${`p-${name}`} role="alert">${problem}</p>
  </div>`
}

/**
 * @param {string} name
 * @param {string} label
 * @param {readonly (readonly [value: string, text: string])[]} options
 * @param {string} value
 * @param {(value: string) => void} [onChange]
 */
export function choice(name, label, options, value, onChange) {
  return html`<div class="field">
    <label for=${`f-${name}`}>${label}</label>
    <select id=${`f-${name}`} name=${name} @change=${(/** @type {Event} */ { target }) => {
      if (target instanceof HTMLSelectElement) onChange?.(target.value)
    }}>
      ${options.map(([one, text]) => html`<option value=${one} .selected=${one === value}>${text}</option>`)}
    </select>
  </div>`
}

/**
 * The problem of a form that is about none of its fields.
 * @param {Pick<Change, 'problem' | 'param'>} form
 * @param {readonly string[]} [fields]
 */
export function formProblem({ problem, param }, fields = []) {
  return html`<p class="problem" role="alert">${fields.includes(param) ? '' : problem}</p>`
}

/**
 * The button that sends a form; off while that is under way or nothing may be changed.
 * @param {Change} form
 * @param {string} label
 * @param {string} [className]
 */
export function submitButton({ isBusy }, label, className = 'primary') {
  const why = whyReadOnly()
  return html`<button class=${className} ?disabled=${isBusy || why !== ''} title=${why || nothing}>${label}</button>`
}

/**
 * @param {Change} act
 * @param {string | View} label
 * @param {() => Promise<void>} run
 * @param {string} [className]
 */
export function actButton(act, label, run, className = 'quiet') {
  const why = whyReadOnly()
  return html`<button type="button" class=${className} ?disabled=${act.isBusy || why !== ''} title=${why || nothing}
    @click=${() => void act.run(run)}>${label}</button>`
}

/**
 * Says once why nothing can be changed here.
 * @param {string} [more] what can be done all the same
 * @returns {Optional}
 */
export function readOnlyNote(more = '') {
  const why = whyReadOnly()
  return why === '' ? nothing : html`<p class="note read-only">${why}${more}</p>`
}

/**
 * Tells of an answer that is being loaded, or could not be; asks for it again when that is due.
 * @param {{ problem: string, isLoading: boolean, value: unknown, refresh(): Promise<void>, retry(): void }} loaded
 * @returns {Optional}
 */
export function loadState(loaded) {
  loaded.retry()
  const { problem, isLoading, value } = loaded
  if (problem !== '') {
    return html`<p class="problem" role="alert">${problem}
      <button type="button" class="quiet" @click=${() => void loaded.refresh()}>Try again</button></p>`
  }
  return value === null && isLoading ? html`<p class="nothing">Loading …</p>` : nothing
}

/** @param {string | null | undefined} iso */
export function at(iso) {
  return iso === null || iso === undefined ? null : Date.parse(iso)
}

/**
 * A time of today as a time, another one as a date.
 * @param {string | null | undefined} iso
 */
export function when(iso) {
  const time = at(iso)
  if (time === null) return UNKNOWN
  if (iso?.length === 10) return day(time)
  const isToday = new Date(time).toDateString() === new Date().toDateString()
  return html`<span title=${fullTime(time)}>${isToday ? timeOfDay(time) : date(time)}</span>`
}

/**
 * @param {string | null | undefined} iso
 * @param {string} otherwise
 */
export function until(iso, otherwise) {
  const time = at(iso)
  return time === null ? otherwise : moment(time, Date.now())
}

/**
 * The same for a table, where the day is a title.
 * @param {string | null | undefined} iso
 */
export function leftUntil(iso) {
  const time = at(iso)
  if (time === null) return UNKNOWN
  const left = time - Date.now()
  return html`<span title=${fullTime(time)}>${left > 0 ? `in ${duration(left)}` : 'now'}</span>`
}

/** @param {number | null | undefined} value */
export function credits(value) {
  return value === null || value === undefined ? UNKNOWN : value === 0 ? '0' : amount(value)
}
