/* All facts about one request, in a single row that moves below the opened one. */
import { make, setAttribute, setText } from './dom.js'
import { amount, bytes, duration, fullTime, UNKNOWN } from './format.js'

/** @typedef {import('../feed.ts').EndedRequest} Ended */
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

/** @typedef {{ element: HTMLElement, opener: HTMLElement, item: Ended | null }} OpenRow */

export class RequestDetails {
  /** @type {OpenRow | null} */
  #row = null
  #list = make('dl')
  #copy = make('button', 'quiet')
  #cell = make('td', '', this.#list, this.#copy)
  #element = make('tr', 'details', this.#cell)

  constructor() {
    this.#copy.type = 'button'
    this.#copy.addEventListener('click', () => void this.#copyFacts()) // never rejects
    this.#cell.colSpan = 10
    this.#element.id = 'request-details'
  }

  /** @returns {Ended | null} what is open */
  get item() {
    return this.#row?.item ?? null
  }

  /** @param {OpenRow} row */
  open(row) {
    if (row.item === null) return
    this.#row = row
    this.#list.replaceChildren(...factsOf(row.item).map(([name, text]) => pair(name, text)))
    setText(this.#copy, COPY)
    setAttribute(row.opener, 'aria-expanded', 'true')
    setAttribute(row.opener, 'aria-controls', this.#element.id)
    row.element.dataset['open'] = ''
    row.element.after(this.#element)
  }

  close() {
    if (this.#row === null) return
    setAttribute(this.#row.opener, 'aria-expanded', 'false')
    setAttribute(this.#row.opener, 'aria-controls', null)
    delete this.#row.element.dataset['open']
    this.#element.remove()
    this.#list.replaceChildren()
    this.#row = null
  }

  /** For a bug report. Without TLS, only a page from this machine may write to the clipboard. */
  async #copyFacts() {
    if (this.#row === null || this.#row.item === null) return
    const lines = factsOf(this.#row.item).map(([name, text]) => `${name}: ${text}`)
    try {
      await navigator.clipboard.writeText(`${lines.join('\n')}\n`)
      setText(this.#copy, 'Copied')
    } catch {
      getSelection()?.selectAllChildren(this.#list)
      setText(this.#copy, 'Selected: copy with Ctrl+C')
    }
  }
}

const COPY = 'Copy these details'

/**
 * @param {string} name
 * @param {string} text
 */
function pair(name, text) {
  const value = make('dd', '', text)
  value.dataset['detail'] = name.toLowerCase().replaceAll(' ', '-')
  const className = name === 'Reason' || name === 'Detail' ? 'whole' : ''
  return make('div', className, make('dt', '', name), value)
}

/**
 * @param {Ended} item
 * @returns {[string, string][]}
 */
function factsOf(item) {
  const phases = PHASES.flatMap(([phase, words]) => {
    const ms = item.phasesMs[phase] ?? 0
    return ms > 0 ? [`${words} ${duration(ms)}`] : []
  })
  const repairs = item.repairs.length === 0 ? 'none' : item.repairs.join(', ')
  const cached = item.cachedTokens === 0 ? '' : `, ${amount(item.cachedTokens)} from the cache`
  return [
    ...failureOf(item),
    ['Request id', item.id],
    ['Ended', fullTime(item.at)],
    ['Code', item.code === '' ? 'none' : item.code],
    ['Attempts', amount(item.attempts)],
    ['Repairs', repairs],
    ['Waits', waitsOf(item)],
    ['First token', item.firstMs === null ? 'none' : `after ${duration(item.firstMs)}`],
    ['Phases', phases.length === 0 ? UNKNOWN : phases.join(', ')],
    ['Key', item.key],
    ['Client', item.client],
    ['Model', modelOf(item)],
    ...lostCallsOf(item),
    ['Route', `${item.route} (${item.dialect}${item.isStream ? ', streamed' : ''})`],
    ['Tokens', `${amount(item.inputTokens)} in, ${amount(item.outputTokens)} out${cached}`],
    ['Credits', creditsOf(item)],
    ['Body', bytes(item.bodyBytes)],
    ['Worker', String(item.worker)]
  ]
}

/**
 * @param {Ended} item
 * @returns {[string, string][]}
 */
function failureOf({ failure, attempts }) {
  if (failure === null) return []
  const { reason, detail, upstreamStatus, upstreamId } = failure
  const silent = attempts === 0 ? 'was not asked' : 'did not answer'
  const upstream = upstreamStatus === null ? silent : `answered HTTP ${upstreamStatus}`
  return [
    ['Reason', reason],
    ...(detail === '' ? [] : [/** @type {[string, string]} */ (['Detail', detail])]),
    ['Upstream', upstream],
    ['Upstream id', upstreamId ?? UNKNOWN]
  ]
}

const METERINGS = {
  metered: '',
  'read on': ' (metered after the client left)',
  measured: ' (estimated from tokens: the client left before it was metered)'
}

/** @param {Ended} item */
function creditsOf({ credits, metering }) {
  return amount(credits) + (metering === null ? '' : METERINGS[metering])
}

const WAITS = ['key', 'pause', 'pace', 'queue']

/** @param {Ended} item */
function waitsOf({ phasesMs }) {
  const waits = PHASES.flatMap(([phase, words]) => {
    const ms = WAITS.includes(phase) ? (phasesMs[phase] ?? 0) : 0
    return ms > 0 ? [`${words} ${duration(ms)}`] : []
  })
  return waits.length === 0 ? 'none' : waits.join(', ')
}

/** @param {Ended} item */
function modelOf({ model, modelAsked }) {
  const answered = model === '' ? UNKNOWN : model
  return modelAsked === null ? answered : `${answered} (asked for ${modelAsked})`
}

/**
 * @param {Ended} item
 * @returns {[string, string][]}
 */
function lostCallsOf({ lostCalls }) {
  return lostCalls === 0 ? [] : [['Tool calls lost', `${lostCalls} with incomplete arguments`]]
}
