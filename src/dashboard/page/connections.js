/* Picture of the connection budget: a cell for each connection that a worker may hold, with its state. */
import { byId, make, setAttribute, setText } from './dom.js'

/** @typedef {import('../feed.ts').Now} Now */
/** @typedef {Now['connections']['members'][number]} Member */
/** @typedef {{ name: string, title: string, state: string, counts: [CellState, number][], note: string }} PlotPlan */
/** @typedef {'used' | 'idle' | 'leased' | 'free'} CellState */

const MAX_CELLS = 400

export class Connections {
  #place = byId('plots', HTMLElement)
  #size = byId('cell-size', HTMLElement)
  /** @type {Map<string, Plot>} Bounded by the slots of workers. */
  #plots = new Map()

  /** @param {Now} now */
  show(now) {
    const { budget, inUse, idle, connecting, closing } = now.connections
    const total = budget ?? inUse + idle + connecting + closing
    const perCell = Math.max(1, Math.ceil(total / MAX_CELLS))
    this.#size.hidden = perCell === 1
    setText(this.#size, `each square is ${perCell} connections`)
    const plans = plansOf(now)
    for (const plan of plans) {
      let plot = this.#plots.get(plan.name)
      if (plot === undefined) {
        plot = new Plot(plan.name)
        this.#plots.set(plan.name, plot)
        this.#place.append(plot.element)
      }
      plot.show(plan, perCell)
    }
    for (const [name, plot] of this.#plots) {
      if (plans.some((plan) => plan.name === name)) continue
      plot.element.remove()
      this.#plots.delete(name)
    }
  }
}

/**
 * @param {Now} now
 * @returns {PlotPlan[]}
 */
function plansOf({ connections, workers }) {
  const { members, unleased, budget } = connections
  const slots = workers.map(({ slot, state }) => {
    const found = members.find(({ name }) => name === String(slot))
    return planOf(found ?? nothing(String(slot)), `Worker ${slot}`, state)
  })
  const others = members
    .filter(({ name }) => !workers.some(({ slot }) => String(slot) === name))
    .map((member) =>
      member.name === 'control'
        ? planOf(member, 'The gateway itself', 'reserved')
        : planOf(member, `Worker ${member.name}`, 'leaving')
    )
    .filter(({ counts }) => counts.some(([, count]) => count > 0))
  if (budget === null || unleased === null || unleased <= 0) return [...slots, ...others]
  const rest = `${unleased} unassigned`
  /** @type {PlotPlan} */
  const free = {
    name: 'free',
    title: 'Unassigned',
    state: '',
    counts: [['free', unleased]],
    note: rest
  }
  return [...slots, ...others, free]
}

/**
 * @param {string} name
 * @returns {Member}
 */
function nothing(name) {
  return { name, leased: 0, inUse: 0, idle: 0, connecting: 0, closing: 0, waiting: 0 }
}

/**
 * @param {Member} member
 * @param {string} title
 * @param {string} state
 * @returns {PlotPlan}
 */
function planOf({ name, leased, inUse, idle, connecting, closing, waiting }, title, state) {
  const busy = inUse + connecting
  const open = busy + idle + closing
  const rest = Math.max(0, (leased ?? 0) - open)
  const parts = [`${busy} in use`, `${idle + closing} idle`]
  if (leased !== null) parts.push(`${leased} lent`)
  if (waiting > 0) parts.push(`${waiting} waiting`)
  return {
    name,
    title,
    state,
    counts: [
      ['used', busy],
      ['idle', idle + closing],
      ['leased', rest]
    ],
    note: parts.join(' · ')
  }
}

class Plot {
  element
  #title = make('b')
  #note = make('span')
  #cells = make('div', 'cells')
  /** @type {{ element: HTMLElement, state: CellState | null }[]} Bounded by MAX_CELLS. */
  #made = []

  /** @param {string} name */
  constructor(name) {
    this.#cells.setAttribute('aria-hidden', 'true')
    this.element = make('div', 'plot', make('p', 'plot-head', this.#title, this.#note), this.#cells)
    this.element.dataset['member'] = name
  }

  /**
   * @param {PlotPlan} plan
   * @param {number} perCell
   */
  show({ title, state, counts, note }, perCell) {
    const isWell = state === 'ready' || state === 'reserved' || state === ''
    setText(this.#title, isWell ? title : `${title}: ${state}`)
    setText(this.#note, note)
    setAttribute(this.element, 'data-state', isWell ? 'well' : 'lost')
    for (const [name, count] of counts) setAttribute(this.element, `data-${name}`, count)
    let index = 0
    for (const [name, count] of counts) {
      for (let left = count; left > 0 && index < MAX_CELLS; left -= perCell) {
        this.#cell(index).show(name)
        index += 1
      }
    }
    for (const cell of this.#made.slice(index)) hide(cell)
  }

  /** @param {number} index */
  #cell(index) {
    let cell = this.#made[index]
    if (cell === undefined) {
      cell = { element: make('i', 'cell'), state: null }
      this.#made.push(cell)
      this.#cells.append(cell.element)
    }
    const known = cell
    return {
      /** @param {CellState} state */
      show(state) {
        if (known.state === state) return
        known.state = state
        known.element.hidden = false
        known.element.dataset['state'] = state
      }
    }
  }
}

/** @param {{ element: HTMLElement, state: CellState | null }} cell */
function hide(cell) {
  if (cell.state === null) return
  cell.state = null
  cell.element.hidden = true
}
