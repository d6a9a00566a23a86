/* One request as a row of a table, and all facts about it, whether the feed or the history told of it. */
import { html, nothing } from './lit.js'
import { amount, bytes, column, duration, fullTime, timeOfDay, UNKNOWN } from './format.js'
import { copyButton, credits, figure } from './parts.js'

/** @import { EndedRequest as Ended } from '../feed.ts' */
/** @import { RequestAnswer as Answer, RequestRow as Row } from './contract.d.ts' */

/**
 * Names of the phases, in order.
 * @type {readonly (readonly [phase: string, words: string])[]}
 */
export const PHASES = [
  ['read', 'reading the request'],
  ['transform', 'converting it'],
  ['key', 'waiting for a stream of its key'],
  ['pause', 'pause requested by Kiro'],
  ['pace', 'waiting for the rate limit'],
  ['queue', 'waiting for a connection'],
  ['connect', 'connecting'],
  ['ttfb', 'until the first token'],
  ['search', 'web search'],
  ['stream', 'answer'],
  ['retry', 'failed attempts']
]

const WAITS = ['key', 'pause', 'pace', 'queue']

/**
 * @param {Ended} item of the feed
 * @returns {Row}
 */
export function rowOf({ n, at, modelAsked, isStream, failure, ...item }) {
  const { firstMs, totalMs, phasesMs, lostCalls, bodyBytes, ...same } = item
  return {
    ...same,
    n: `live-${n}`,
    at: new Date(at).toISOString(),
    times: 1,
    model_asked: modelAsked,
    stream: isStream,
    failure: failure && {
      reason: failure.reason,
      detail: failure.detail,
      upstream_status: failure.upstreamStatus,
      upstream_request_id: failure.upstreamId
    },
    first_ms: firstMs,
    total_ms: totalMs,
    phases_ms: phasesMs,
    input_tokens: item.inputTokens,
    output_tokens: item.outputTokens,
    cached_tokens: item.cachedTokens,
    lost_calls: lostCalls,
    body_bytes: bodyBytes
  }
}

/**
 * Level of a row: clients' own errors are not the gateway's, and a cut tool call is a warning.
 * @param {Pick<Row, 'fault' | 'lost_calls'>} row
 */
function levelOf({ fault, lost_calls }) {
  if (fault === null) return lost_calls > 0 ? 'fair' : 'good'
  return fault === 'client' ? 'fair' : 'bad'
}

/**
 * Outcome in a word: a broken stream began as a 200.
 * @param {Row} row
 */
function outcomeOf({ status, code, lost_calls }) {
  if (status === 499) return 'left'
  if (code === '' && lost_calls > 0) return 'call cut'
  return status < 400 && code !== '' ? 'cut' : String(status)
}

/** @param {Row} row */
function timeOf({ at }) {
  const time = Date.parse(at)
  const isToday = new Date(time).toDateString() === new Date().toDateString()
  return isToday
    ? timeOfDay(time)
    : `${new Date(time).toLocaleDateString(undefined, { day: 'numeric', month: 'short' })}, ${timeOfDay(time)}`
}

/**
 * A row, whose button opens and closes its details.
 * @param {Row} row
 * @param {boolean} isOpen
 * @param {() => void} toggle
 */
export function requestRow(row, isOpen, toggle) {
  const { id, n, code, key, client, model, times } = row
  return html`<tr data-request-id=${id} data-n=${n} data-code=${code} ?data-open=${isOpen} @click=${toggle}>
    <td><button type="button" class="opener" aria-expanded=${String(isOpen)} aria-controls=${isOpen ? 'request-details' : nothing}
      title=${fullTime(Date.parse(row.at))}>${timeOf(row)}</button><span class="under until-s">${code === '' ? model : code}</span></td>
    <td class="from-m cut key-column" title=${key}>${key}</td>
    <td class="from-l cut" title=${client}>${client}</td>
    <td class="from-s model-column"><span class="cut" title=${model}>${model === '' ? UNKNOWN : model}</span> ${code === '' ? nothing : html`<span class="note">${code}${times > 1 ? ` × ${times}` : ''}</span>`}</td>
    <td><span class="status" data-level=${levelOf(row)} data-metric="request-status" data-value=${row.status}
      title=${`HTTP ${row.status}${row.lost_calls > 0 ? ': a tool call was cut, its arguments did not arrive whole' : ''}`}>${outcomeOf(row)}</span></td>
    <td class="from-m phases-column">${phases(row)}</td>
    <td class="number">${figure('request-total-ms', row.total_ms, column.duration(row.total_ms))}</td>
    <td class="number from-m">${figure('request-input-tokens', row.input_tokens, column.tokens(row.input_tokens), amount(row.input_tokens))}</td>
    <td class="number from-m">${figure('request-output-tokens', row.output_tokens, column.tokens(row.output_tokens), amount(row.output_tokens))}</td>
    <td class="number from-s">${figure('request-credits', row.credits, row.credits === null ? UNKNOWN : column.requestCredits(row.credits))}</td>
  </tr>`
}

export const requestHead = html`<thead><tr>
  <th scope="col">Time</th><th scope="col" class="from-m key-column">Key</th><th scope="col" class="from-l">Client</th>
  <th scope="col" class="from-s">Model</th><th scope="col">Status</th>
  <th scope="col" class="from-m phases-column">Phases</th><th scope="col" class="number">Total time</th>
  <th scope="col" class="number from-m">Tokens in</th><th scope="col" class="number from-m">Tokens out</th>
  <th scope="col" class="number from-s">Credits</th>
</tr></thead>`

/** @param {Row} row */
function partsOf({ phases_ms: took }) {
  return PHASES.flatMap(([phase, words]) => {
    const ms = took?.[phase] ?? 0
    return ms > 0 ? [{ phase, words, ms }] : []
  })
}

/** @param {string} phase */
function colourOf(phase) {
  return `var(--phase-${phase})`
}

/** The phases with their names, as far as there were any. @param {Row} row */
function phaseList(row) {
  return html`<ul class="legend">${partsOf(row).map(({ phase, words, ms }) => html`<li><i class="swatch" .style=${`background: ${colourOf(phase)}`}></i>${words} <b>${duration(ms)}</b></li>`)}</ul>`
}

/** @param {Row} row */
function phases(row) {
  const parts = partsOf(row)
  const text = parts.map(({ words, ms }) => `${words} ${duration(ms)}`).join(', ')
  return html`<div class="phases" role="img" aria-label=${text === '' ? 'no phases' : text} title=${text}>
    ${parts.map(({ phase, ms }) => html`<i data-phase=${phase} data-value=${ms} .style=${`flex-grow: ${ms}; background: ${colourOf(phase)}`}></i>`)}
  </div>`
}

/** Facts that take a line of their own. */
const WHOLE = ['Reason', 'Detail', 'Meaning', 'Phases']

/**
 * @param {Row} row
 * @param {Answer | null} answer what the gateway knows beside it, once that is there
 */
export function requestDetails(row, answer) {
  const known = factsOf(row, answer)
  const text = `${known.map(({ name, value }) => `${name}: ${value}`).join('\n')}\n`
  const { about = null, capture = null } = answer ?? {}
  return html`<tr class="details" id="request-details"><td colspan="10">
    <dl>${known.map(
      ({ name, value }) => html`<div class=${WHOLE.includes(name) ? 'whole' : ''}>
      <dt>${name}</dt><dd data-detail=${name.toLowerCase().replaceAll(' ', '-')}>${name === 'Phases' && value !== UNKNOWN ? html`${phases(row)}${phaseList(row)}` : value}</dd></div>`
    )}
    </dl>
    <div class="tools">
      ${copyButton(text, 'these details')}
      ${about === null ? nothing : html`<a href=${`docs/errors#${about.code.toLowerCase()}`} target="_blank" rel="noreferrer">What ${about.code} means</a>`}
      ${capture === null ? nothing : html`<code>${capture.replay}</code>`}
    </div>
  </td></tr>`
}

const METERINGS = {
  metered: '',
  'read on': ' (metered after the client left)',
  measured: ' (estimated from tokens: the client left before it was metered)'
}

/**
 * @param {Row} row
 * @param {Answer | null} answer
 */
function factsOf(row, answer) {
  const { failure, model, model_asked, first_ms, metering, repairs, attempts, lost_calls } = row
  const silent = attempts === 0 ? 'was not asked' : 'did not answer'
  const cached = row.cached_tokens === 0 ? '' : `, ${amount(row.cached_tokens)} from the cache`
  const answered = model === '' ? UNKNOWN : model
  const dialect = `${row.dialect}${row.stream ? ', streamed' : ''}`
  const about = answer?.about?.message ?? ''
  /** @type {[name: string, value: string | null | undefined][]} */
  const pairs = [
    ['Reason', failure?.reason],
    ['Detail', failure?.detail || null],
    [
      'Upstream',
      failure &&
        (failure.upstream_status === null ? silent : `answered HTTP ${failure.upstream_status}`)
    ],
    ['Upstream id', failure && (failure.upstream_request_id ?? UNKNOWN)],
    ['Meaning', isSaid(about, row) ? null : about],
    ['Phases', spans(row) || UNKNOWN],
    ['Request id', row.id || UNKNOWN],
    ['Ended', fullTime(Date.parse(row.at))],
    ['Status', String(row.status)],
    ['Code', row.code || 'none'],
    ['Attempts', amount(attempts)],
    ['Repairs', repairs === null ? UNKNOWN : repairs.join(', ') || 'none'],
    ['Waits', spans(row, WAITS) || 'none'],
    ['First token', first_ms === null ? 'none' : `after ${duration(first_ms)}`],
    ['Key', row.key],
    ['Client', row.client],
    ['Model', model_asked === null ? answered : `${answered} (asked for ${model_asked})`],
    ['Tool calls lost', lost_calls === 0 ? null : `${lost_calls} with incomplete arguments`],
    ['Route', row.route === '' ? UNKNOWN : `${row.route} (${dialect})`],
    ['Tokens', `${amount(row.input_tokens)} in, ${amount(row.output_tokens)} out${cached}`],
    ['Credits', credits(row.credits) + (metering === null ? '' : METERINGS[metering])],
    ['Body', bytes(row.body_bytes)],
    ['Worker', row.worker === null ? UNKNOWN : String(row.worker)]
  ]
  return pairs.flatMap(([name, value]) => (typeof value === 'string' ? [{ name, value }] : []))
}

/**
 * True if the reason says the same, perhaps with more behind it.
 * @param {string} about
 * @param {Row} row
 */
function isSaid(about, { failure }) {
  return failure?.reason.startsWith(about.replace(/\.$/, '')) ?? about === ''
}

/**
 * @param {Row} row
 * @param {readonly string[]} [only]
 */
function spans({ phases_ms: took }, only) {
  return PHASES.flatMap(([phase, words]) => {
    const ms = only === undefined || only.includes(phase) ? (took?.[phase] ?? 0) : 0
    return ms > 0 ? [`${words} ${duration(ms)}`] : []
  }).join(', ')
}
