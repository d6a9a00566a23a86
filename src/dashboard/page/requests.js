/* The last requests, newest first, in reused rows. The list pauses while details are read. */
import { byId, make, nameFigures, setAttribute, setFigure, setText } from './dom.js'
import { amount, duration, fullTime, short, timeOfDay, UNKNOWN } from './format.js'
import { PHASES, RequestDetails } from './request-details.js'

/** @typedef {import('../feed.ts').EndedRequest} Ended */
/** @typedef {ReturnType<typeof createRow>} Row */

const MAX_ROWS = 100

export class RequestTable {
  #body = byId('requests', HTMLElement)
  #nothing = byId('no-requests', HTMLElement)
  #hold = byId('hold', HTMLElement)
  #onlyFailed = byId('only-failed', HTMLInputElement)
  #details = new RequestDetails()
  /** @type {Row[]} Bounded by MAX_ROWS; in the order of the page. */
  #rows = []
  /** @type {Ended[]} Bounded by MAX_ROWS; what has come while the list was held, oldest first. */
  #held = []
  #isHeld = false

  constructor() {
    this.#body.addEventListener('click', (event) => this.#onClick(event))
    this.#hold.addEventListener('click', () => this.#setHeld(!this.#isStill()))
    this.#onlyFailed.addEventListener('change', () => this.#filter())
    const legend = PHASES.map(([phase, words]) => {
      const swatch = make('i', 'swatch')
      swatch.dataset['phase'] = phase
      return make('li', '', swatch, words)
    })
    byId('phase-legend', HTMLElement).append(...legend)
  }

  /** @param {readonly Ended[]} requests oldest first; takes the place of all */
  replace(requests) {
    const open = this.#details.item
    this.#held = []
    this.#details.close()
    this.#fill(requests)
    const again = this.#rows.find(({ item }) => item?.n === open?.n && item?.at === open?.at)
    if (open !== null && again !== undefined) this.#details.open(again)
    this.#showHeld()
  }

  /** @param {readonly Ended[]} requests oldest first */
  add(requests) {
    if (this.#isHeld || this.#details.item !== null) {
      this.#held = [...this.#held, ...requests].slice(-MAX_ROWS)
      return this.#showHeld()
    }
    const recent = requests.slice(-MAX_ROWS)
    for (const item of recent) {
      const row = this.#rows.length < MAX_ROWS ? createRow() : this.#rows.pop()
      if (row === undefined) return
      this.#rows.unshift(row)
      this.#put(row, item)
      this.#body.prepend(row.element)
    }
    this.#nothing.hidden = this.#rows.length > 0
  }

  /** @param {readonly Ended[]} requests */
  #fill(requests) {
    const newest = requests.slice(-MAX_ROWS).toReversed()
    for (const [index, item] of newest.entries()) {
      let row = this.#rows[index]
      if (row === undefined) {
        row = createRow()
        this.#rows.push(row)
        this.#body.append(row.element)
      }
      this.#put(row, item)
    }
    for (const row of this.#rows.splice(newest.length)) row.element.remove()
    this.#nothing.hidden = newest.length > 0
  }

  /**
   * @param {Row} row
   * @param {Ended} item
   */
  #put(row, item) {
    fillRow(row, item)
    row.element.hidden = this.#onlyFailed.checked && item.code === ''
  }

  #filter() {
    for (const { element, item } of this.#rows) {
      element.hidden = this.#onlyFailed.checked && item?.code === ''
    }
    this.#details.close()
    this.#release()
  }

  /** @param {Event} event */
  #onClick({ target }) {
    if (!(target instanceof Element)) return
    const element = target.closest('tr[data-request-id]')
    const row = this.#rows.find((one) => one.element === element)
    if (row?.item === undefined || row.item === null) return
    const isOpen = this.#details.item === row.item
    this.#details.close()
    if (isOpen) this.#release()
    else this.#details.open(row)
    this.#showHeld()
  }

  /** @param {boolean} isHeld */
  #setHeld(isHeld) {
    // Resuming the list means that the open details were read.
    if (!isHeld) this.#details.close()
    this.#isHeld = isHeld
    this.#release()
  }

  #release() {
    if (!this.#isHeld && this.#details.item === null) {
      const held = this.#held
      this.#held = []
      this.add(held)
    }
    this.#showHeld()
  }

  #isStill() {
    return this.#isHeld || (this.#details.item !== null && this.#held.length > 0)
  }

  #showHeld() {
    const count = this.#held.length
    const more = count === 0 ? '' : ` (${count}${count === MAX_ROWS ? ' or more' : ''} new)`
    setAttribute(this.#hold, 'aria-pressed', String(this.#isStill()))
    setText(this.#hold, this.#isStill() ? `Resume${more}` : 'Pause the list')
  }
}

function createRow() {
  const opener = make('button', 'opener')
  opener.type = 'button'
  opener.setAttribute('aria-expanded', 'false')
  const under = make('span', 'under until-s')
  const key = make('td', 'from-l cut')
  const client = make('td', 'from-l cut')
  const modelName = make('span')
  const code = make('span', 'note')
  const status = make('span', 'status')
  const { bar, parts } = createPhases()
  const total = make('td', 'number')
  const input = make('td', 'number from-m')
  const output = make('td', 'number from-m')
  const credits = make('td', 'number from-s')
  const element = make(
    'tr',
    '',
    make('td', '', opener, under),
    key,
    client,
    make('td', 'from-s', modelName, ' ', code),
    make('td', '', status),
    make('td', 'from-m phases-column', bar),
    total,
    input,
    output,
    credits
  )
  const cells = { opener, under, key, client, modelName, code, status, bar, parts }
  const figures = { total, input, output, credits }
  nameFigures({
    'request-status': status,
    'request-total-ms': total,
    'request-input-tokens': input,
    'request-output-tokens': output,
    'request-credits': credits
  })
  return { element, ...cells, ...figures, item: nothingYet() }
}

function createPhases() {
  const bar = make('div', 'phases')
  bar.setAttribute('role', 'img')
  const parts = PHASES.map(([phase, words]) => {
    const part = make('i')
    part.dataset['phase'] = phase
    bar.append(part)
    return { phase, words, part }
  })
  return { bar, parts }
}

/** @returns {Ended | null} */
function nothingYet() {
  return null
}

/**
 * @param {Row} row
 * @param {Ended} item
 */
function fillRow(row, item) {
  row.item = item
  row.element.dataset['requestId'] = item.id
  row.element.dataset['n'] = String(item.n)
  row.element.dataset['code'] = item.code
  setText(row.opener, timeOfDay(item.at))
  setAttribute(row.opener, 'title', fullTime(item.at))
  setText(row.under, item.code === '' ? item.model : item.code)
  setText(row.key, item.key)
  setText(row.client, item.client)
  setAttribute(row.client, 'title', item.client)
  setText(row.modelName, item.model === '' ? UNKNOWN : item.model)
  setText(row.code, item.code)
  setFigure(row.status, item.status, String(item.status))
  setAttribute(row.status, 'data-level', levelOf(item))
  fillPhases(row, item)
  setFigure(row.total, item.totalMs, duration(item.totalMs))
  setFigure(row.input, item.inputTokens, short(item.inputTokens), amount(item.inputTokens))
  setFigure(row.output, item.outputTokens, short(item.outputTokens), amount(item.outputTokens))
  setFigure(row.credits, item.credits, item.credits === 0 ? '0' : amount(item.credits))
}

/**
 * Level of a row: clients' own errors are not the gateway's.
 * @param {Ended} item
 */
function levelOf({ fault }) {
  if (fault === null) return 'good'
  return fault === 'client' ? 'fair' : 'bad'
}

/**
 * @param {Row} row
 * @param {Ended} item
 */
function fillPhases({ bar, parts }, { phasesMs }) {
  const told = []
  for (const { phase, words, part } of parts) {
    const ms = phasesMs[phase] ?? 0
    part.style.flexGrow = String(ms)
    setAttribute(part, 'data-value', ms)
    if (ms > 0) told.push(`${words} ${duration(ms)}`)
  }
  const text = told.join(', ')
  setAttribute(bar, 'aria-label', text === '' ? 'no phases' : text)
  setAttribute(bar, 'title', text)
}
