/* Limits of a key, as forms have them. */
import { ApiProblem } from './api.js'
import { lastDay } from './format.js'
import { html } from './lit.js'
import { field } from './parts.js'
import { state } from './state.js'

/** @typedef {import('./contract.d.ts').Key} Key */
/** @typedef {import('./api.js').Change} Change */
/** @typedef {Record<string, string>} Values */

/** Empty means no limit. @param {Values} values @param {string} name */
function countIn(values, name) {
  const text = values[name] ?? ''
  if (text === '') return null
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new ApiProblem(0, '', 'A whole number from 1 on, such as 60. Empty: no limit.', name)
}

/** @param {Values} values */
function creditsIn({ credits: text = '', period = 'month' }) {
  if (text === '') return null
  if (/^\d{1,9}(?:\.\d{1,6})?$/.test(text) && Number(text) > 0) return `${text}/${period}`
  const message = 'A number of credits, such as 200 or 12.5. Empty: no limit.'
  throw new ApiProblem(0, '', message, 'credits')
}

/**
 * The fields of a form as the API takes them: empty means no limit. An unchanged last day is left out: the key may end at
 * a time of that day, or may have ended. Throws ApiProblem with the field that is wrong.
 * @param {Values} values
 * @param {Key | null} key
 */
export function limitsOf(values, key) {
  const { models = '', expires = '' } = values
  return {
    credits: creditsIn(values),
    requests_per_minute: countIn(values, 'requests_per_minute'),
    max_streams: countIn(values, 'max_streams'),
    models: models === '' ? null : models.split(',').map((model) => model.trim()),
    ...(expires !== lastDay(key?.expires_at) && { expires: expires === '' ? null : expires }),
    overage: values['overage'] === 'true'
  }
}

const PERIODS = ['day', 'week', 'month', 'total']

/**
 * Credits in a period.
 * @param {Change} form
 * @param {Key | null} key
 */
export function creditFields(form, key) {
  const period = key?.credits?.period ?? 'month'
  return html`<div class="pair">
      ${field(form, { name: 'credits', label: 'Credits', mode: 'decimal', value: String(key?.credits?.limit ?? ''), hint: 'Empty: no limit.' })}
      <div class="field"><label for="f-period">Per</label><select id="f-period" name="period" @input=${form.edit}>${PERIODS.map((name) => html`<option value=${name} .selected=${form.shown('period', name === period)}>${name === 'total' ? 'in all' : name}</option>`)}</select></div>
    </div>`
}

/**
 * @param {Change} form
 * @param {Key | null} key
 */
export function limitFields(form, key) {
  const models =
    state.keys === null ? [] : [...new Set(state.keys.list.flatMap((known) => known.models ?? []))]
  return html`${creditFields(form, key)}
    ${field(form, { name: 'models', label: 'Models', value: key?.models?.join(', ') ?? '', list: models, hint: 'Separated by commas; * stands for any text, as in claude-sonnet-*. Empty: all.' })}
    ${field(form, { name: 'expires', label: 'Last day', type: 'date', value: lastDay(key?.expires_at), hint: 'Empty: it does not expire.' })}
    <div class="pair">
      ${field(form, { name: 'requests_per_minute', label: 'Requests a minute', mode: 'numeric', value: String(key?.requests_per_minute ?? ''), hint: 'Empty: no limit.' })}
      ${field(form, { name: 'max_streams', label: 'Streams at the same time', mode: 'numeric', value: String(key?.max_streams ?? ''), hint: 'Empty: no limit.' })}
    </div>
    <label class="check"><input type="checkbox" name="overage" value="true" .checked=${form.shown('overage', key?.overage === true)} @input=${form.edit}> Goes on at extra cost when the plan is used up</label>`
}
