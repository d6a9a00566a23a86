/* Calls of `/admin/v1`: one way to ask, one to change something, and forms that do it once. */
import { askSession } from './feed.js'
import { noChange } from './lit.js'
import { change, changed, redraw, state } from './state.js'

const NO_ANSWER = 'The gateway does not answer. Is it running?'
/** Longest time that a question may take, such as one for 90 days of usage. */
const ANSWER_MS = 60_000
/** Delay until a question is asked again that the gateway could not answer, as while it restarts. */
const RETRY_MS = 2_000

/** A refusal, with the sentence that people are shown. */
export class ApiProblem extends Error {
  /**
   * @param {number} status 0 without an answer
   * @param {string} code
   * @param {string} message
   * @param {string} param name of the field that it is about, else empty
   * @param {any} body
   */
  constructor(status, code, message, param = '', body = null) {
    super(message)
    this.status = status
    this.code = code
    this.param = param
    this.body = body
  }
}

/**
 * @param {string} path
 * @param {RequestInit} init
 * @returns {Promise<any>}
 */
async function call(path, init) {
  const response = await fetch(path, { cache: 'no-store', ...init }).catch(() => {
    throw new ApiProblem(0, '', NO_ANSWER)
  })
  const body = await response.json().catch(() => null)
  // Each answer has a body: one that does not come whole is none, as when its worker ends.
  if (response.ok && body === null) throw new ApiProblem(0, '', NO_ANSWER)
  if (response.ok) return body
  const {
    code = '',
    message = `Refused with status ${response.status}.`,
    param
  } = body?.error ?? {}
  // A restarted gateway knows no earlier token.
  if (code === 'GW_CSRF_INVALID') change({ session: await askSession() })
  if (response.status === 401) await changed()
  throw new ApiProblem(response.status, code, message, param ?? '', body)
}

/** @param {string} path below `admin/v1/` */
export function get(path) {
  return call(`admin/v1/${path}`, { signal: AbortSignal.timeout(ANSWER_MS) })
}

/**
 * @param {string} path below `admin/v1/`
 * @param {object} value
 */
export async function post(path, value = {}) {
  const headers = { 'content-type': 'application/json', 'x-csrf-token': state.session?.csrf ?? '' }
  const init = { method: 'POST', headers, body: JSON.stringify(value) }
  const body = await call(`admin/v1/${path}`, init)
  change({ warning: body?.warning ?? '' })
  await changed()
  return body
}

/**
 * The path of a question: empty values are left out.
 * @param {string} path
 * @param {Readonly<Record<string, string>>} query
 */
export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== '')
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`
}

/**
 * One answer of the gateway, asked for again when needed. A late answer to an earlier question is dropped. A gateway
 * that cannot answer is asked again as long as the page shows that (`retry()`).
 * @template Answer
 */
export class Loaded {
  /** @type {Answer | null} */
  value = null
  problem = ''
  isLoading = false
  #turn = 0
  #retryAt = Infinity
  #ask

  /** @param {() => Promise<Answer>} ask */
  constructor(ask) {
    this.#ask = ask
  }

  async refresh() {
    const turn = ++this.#turn
    this.isLoading = true
    redraw()
    try {
      const value = await this.#ask()
      if (turn !== this.#turn) return
      this.value = value
      this.problem = ''
      this.#retryAt = Infinity
    } catch (cause) {
      if (turn !== this.#turn) return
      this.problem = messageOf(cause)
      this.#retryAt = isPassing(cause) ? performance.now() + RETRY_MS : Infinity
    }
    this.isLoading = false
    redraw()
  }

  /** Asks again where the gateway could not answer, if it is time for that. */
  retry() {
    if (!this.isLoading && performance.now() >= this.#retryAt) void this.refresh()
  }

  clear() {
    this.#turn += 1
    this.#retryAt = Infinity
    this.value = null
    this.problem = ''
    this.isLoading = false
  }
}

/** @param {unknown} cause */
function isPassing(cause) {
  return cause instanceof ApiProblem && (cause.status === 0 || cause.status >= 500)
}

/** @param {unknown} cause */
export function messageOf(cause) {
  return cause instanceof Error ? cause.message : String(cause)
}

/** A change on its way: pressed twice, it is still sent once. */
export class Change {
  isBusy = false
  problem = ''
  /** Name of the field that the problem is about, else empty. */
  param = ''
  /** Names of the fields that were edited while the form was being saved. */
  #edited = new Set()

  /**
   * Returns what a field of the form shows: what was typed while the form was being saved stays as it is.
   * @template T
   * @param {string} name
   * @param {T} value
   */
  shown(name, value) {
    return this.#edited.has(name) ? noChange : value
  }

  /** @param {Event & { currentTarget: EventTarget | null }} event */
  edit = ({ currentTarget: field }) => {
    if (!this.isBusy) return
    if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement)
      this.#edited.add(field.name)
  }

  /** Forgets what was wrong and what was typed. */
  reset() {
    this.#edited.clear()
    this.problem = this.param = ''
  }

  /** @param {() => Promise<void>} act */
  async run(act) {
    if (this.isBusy) return
    this.isBusy = true
    this.reset()
    redraw()
    try {
      await act()
    } catch (cause) {
      this.problem = messageOf(cause)
      this.param = cause instanceof ApiProblem ? cause.param : ''
      focusProblem()
    }
    this.isBusy = false
    redraw()
  }

  /**
   * Runs it with what the form says.
   * @param {SubmitEvent} event
   * @param {(values: Record<string, string>) => Promise<void>} act
   */
  submit(event, act) {
    event.preventDefault()
    const form = event.currentTarget
    if (!(form instanceof HTMLFormElement)) return
    const values = valuesOf(form)
    void this.run(() => act(values)) // never rejects
  }
}

/**
 * @param {HTMLFormElement} form
 * @returns {Record<string, string>}
 */
export function valuesOf(form) {
  const texts = [...new FormData(form)].map(([name, value]) => [
    name,
    typeof value === 'string' ? value.trim() : ''
  ])
  return Object.fromEntries(texts)
}

/** Puts the cursor into the field that has to be corrected, once that is drawn. */
function focusProblem() {
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      const field = document.querySelector('[aria-invalid="true"]')
      if (field instanceof HTMLElement) field.focus()
    })
  )
}
