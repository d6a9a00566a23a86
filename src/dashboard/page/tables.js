/* The small tables: errors, processes and keys. Their rows are reused; surplus ones are hidden. */
import {
  byId,
  fillRows,
  make,
  nameFigures,
  setAttribute,
  setFigure,
  setMeter,
  setText
} from './dom.js'
import { amount, bytes, duration, fullTime, percent, short, UNKNOWN } from './format.js'

/** @typedef {import('../feed.ts').Now} Now */
/** @typedef {import('../feed.ts').KeyStatuses} Keys */
/** @typedef {Keys['list'][number]} Key */

export class ErrorTable {
  /** @type {{ element: HTMLElement, rows: ReturnType<typeof createError>[] }} Bounded by the codes there are. */
  #table = { element: byId('errors', HTMLElement), rows: [] }
  #nothing = byId('no-errors', HTMLElement)
  #whole = tableOf(this.#table.element)

  /** @param {Now['errors']} errors */
  show(errors) {
    const recent = errors.filter(({ lastHour }) => lastHour > 0)
    const most = recent.reduce((one, { lastHour }) => Math.max(one, lastHour), 1)
    this.#nothing.hidden = recent.length > 0
    this.#whole.hidden = recent.length === 0
    fillRows(this.#table, recent, createError, (row, { code, lastHour, total }) => {
      setText(row.code, code)
      row.element.dataset['errorCode'] = code
      setMeterPlain(row.meter, lastHour / most)
      setFigure(row.count, lastHour, amount(lastHour), `${amount(total)} since the start`)
    })
  }
}

/** @param {HTMLElement} body */
function tableOf(body) {
  const { parentElement } = body
  if (parentElement === null) throw new Error('A body of a table without its table')
  return parentElement
}

function createError() {
  const code = make('code')
  const meter = make('div', 'meter', make('i'))
  const count = make('td', 'number')
  const element = make('tr', '', make('td', '', make('div', 'bar-cell', code, meter)), count)
  nameFigures({ 'errors-last-hour': count })
  return { element, code, meter, count }
}

/**
 * Without its colours of warning: most is not too much.
 * @param {HTMLElement} meter
 * @param {number} share
 */
function setMeterPlain(meter, share) {
  setMeter(meter, share)
  setAttribute(meter, 'data-level', 'plain')
}

export class ProcessTable {
  /** @type {{ element: HTMLElement, rows: ReturnType<typeof createProcess>[] }} Bounded by the processes there were at once. */
  #table = { element: byId('processes', HTMLElement), rows: [] }

  /** @param {Now} now */
  show({ processes, workers, memory }) {
    const absent = workers.filter(({ pid }) => !processes.some((process) => process.pid === pid))
    const rows = [
      ...processes.map((process) => {
        const worker = workers.find(({ pid }) => pid === process.pid)
        const isPrimary = process.name === 'primary'
        return {
          ...process,
          state: isPrimary ? 'ready' : (worker?.state ?? 'leaving'),
          restarts: worker?.restarts ?? 0
        }
      }),
      ...absent.map(({ slot, state, pid, restarts }) => {
        return {
          name: `worker ${slot}`,
          pid,
          state,
          restarts,
          rssBytes: null,
          cpu: null,
          loopDelayMs: null
        }
      })
    ]
    fillRows(this.#table, rows, createProcess, (row, one) => {
      row.element.dataset['process'] = one.name
      setText(row.name, one.name)
      setAttribute(row.name, 'title', one.pid === null ? null : `process ${one.pid}`)
      const restarts = one.restarts > 0 ? `, replaced ${one.restarts} ×` : ''
      setText(row.state, `${one.state === 'ready' ? 'serves' : one.state}${restarts}`)
      setAttribute(row.state, 'data-level', one.state === 'ready' ? 'good' : 'fair')
      setFigure(row.memory, one.rssBytes, bytes(one.rssBytes))
      setMeterPlain(
        row.meter,
        memory.limitBytes === null ? 0 : (one.rssBytes ?? 0) / memory.limitBytes
      )
      setFigure(row.cpu, one.cpu, percent(one.cpu))
      const delay = one.loopDelayMs?.p99 ?? null
      setFigure(row.delay, delay, duration(delay))
    })
  }
}

function createProcess() {
  const name = make('th')
  name.scope = 'row'
  const state = make('span', 'state')
  const memory = make('span', 'number')
  const meter = make('div', 'meter', make('i'))
  const cpu = make('td', 'number from-s')
  const delay = make('td', 'number from-s')
  const element = make(
    'tr',
    '',
    name,
    make('td', '', state),
    make('td', 'number', make('div', 'bar-cell', memory, meter)),
    cpu,
    delay
  )
  nameFigures({
    'process-memory-bytes': memory,
    'process-cpu': cpu,
    'process-loop-delay-ms': delay
  })
  return { element, name, state, memory, meter, cpu, delay }
}

export class KeyTable {
  /** @type {{ element: HTMLElement, rows: ReturnType<typeof createKey>[] }} Bounded by what the gateway tells: 200. */
  #table = { element: byId('keys', HTMLElement), rows: [] }
  #nothing = byId('no-keys', HTMLElement)
  #more = byId('more-keys', HTMLElement)
  #whole = tableOf(this.#table.element)

  /** @param {Keys} keys */
  show({ list, more }) {
    this.#nothing.hidden = list.length > 0
    this.#whole.hidden = list.length === 0
    this.#more.hidden = more === 0
    setText(this.#more, `and ${amount(more)} more with less usage: kiro-gateway usage`)
    fillRows(this.#table, list, createKey, fillKey)
  }
}

function createKey() {
  const name = make('span')
  const under = make('span', 'state note')
  const head = make('th', '', name, ' ', under)
  head.scope = 'row'
  const credits = make('span')
  const meter = make('div', 'meter', make('i'))
  const streams = make('td', 'number')
  const waiting = make('td', 'number from-s')
  const requests = make('td', 'number from-m')
  const tokens = make('td', 'number from-m')
  const total = make('td', 'number from-m')
  const cell = make('td', '', make('div', 'bar-cell', credits, meter))
  const element = make('tr', '', head, cell, streams, waiting, requests, tokens, total)
  nameFigures({
    'key-credits-used': credits,
    'key-streams': streams,
    'key-waiting': waiting,
    'key-requests': requests,
    'key-tokens': tokens,
    'key-credits-total': total
  })
  return { element, name, under, credits, meter, streams, waiting, requests, tokens, total }
}

/**
 * @param {ReturnType<typeof createKey>} row
 * @param {Key} key
 */
function fillKey(row, key) {
  const { credits } = key
  row.element.dataset['keyId'] = key.id
  setText(row.name, key.name)
  setText(row.under, key.state === 'active' ? '' : key.state)
  setAttribute(row.under, 'data-level', key.state === 'active' ? 'good' : 'fair')
  setAttribute(row.name, 'title', limitsOf(key))
  row.meter.hidden = credits === null
  if (credits === null) setFigure(row.credits, null, 'no limit', '')
  else {
    const { limit, period, used, reserved, resetsAt } = credits
    const held = reserved > 0 ? `, ${amount(reserved)} reserved` : ''
    const title = resetsAt === null ? '' : `resets ${fullTime(resetsAt)}`
    setFigure(row.credits, used, `${amount(used)} of ${amount(limit)} a ${period}${held}`, title)
    setMeter(row.meter, limit > 0 ? (used + reserved) / limit : 1)
  }
  const most = key.maxStreams === null ? '' : ` of ${amount(key.maxStreams)}`
  setFigure(row.streams, key.streams, `${amount(key.streams)}${most}`)
  setFigure(row.waiting, key.waiting, amount(key.waiting))
  setFigure(row.requests, key.requests, amount(key.requests))
  const tokens = key.inputTokens + key.outputTokens
  setFigure(
    row.tokens,
    tokens,
    short(tokens),
    `${amount(key.inputTokens)} in, ${amount(key.outputTokens)} out`
  )
  setFigure(row.total, key.creditsTotal, amount(key.creditsTotal))
}

/** @param {Key} key */
function limitsOf({ requestsPerMinute, models, expiresAt }) {
  const parts = [
    requestsPerMinute === null ? '' : `${amount(requestsPerMinute)} requests a minute`,
    models === null || models.length === 0 ? '' : `models: ${models.join(', ')}`,
    expiresAt === null ? '' : `until ${fullTime(expiresAt)}`
  ].filter((part) => part !== '')
  return parts.length === 0 ? UNKNOWN : parts.join('; ')
}
