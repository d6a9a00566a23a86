/* Picture of the connection budget: a cell for each connection that a worker may hold, with its state. */
import { html, nothing } from './lit.js'

/** @typedef {import('../feed.ts').Now} Now */
/** @typedef {Now['connections']['members'][number]} Member */
/** @typedef {'used' | 'idle' | 'leased' | 'free'} CellState */
/** @typedef {{ name: string, title: string, state: string, counts: [CellState, number][], note: string }} PlotPlan */

const MAX_CELLS = 400

/** @param {Now} now */
export function connectionPlots(now) {
  const { budget, inUse, idle, connecting, closing } = now.connections
  const total = budget ?? inUse + idle + connecting + closing
  const perCell = Math.max(1, Math.ceil(total / MAX_CELLS))
  return html`<div class="plots">${plansOf(now).map((plan) => plot(plan, perCell))}</div>
    <ul class="legend" aria-hidden="true">
      <li>${cell('used')}in use</li><li>${cell('idle')}open, idle</li>
      <li>${cell('leased')}free to open</li><li>${cell('free')}unassigned</li>
      ${perCell === 1 ? nothing : html`<li>each square is ${perCell} connections</li>`}
    </ul>`
}

/** @param {CellState} state */
function cell(state) {
  return html`<i class="cell" data-state=${state} .style=${`background: var(--cell-${state})`}></i>`
}

/**
 * @param {PlotPlan} plan
 * @param {number} perCell
 */
function plot({ name, title, state, counts, note }, perCell) {
  const isWell = state === 'ready' || state === 'reserved' || state === ''
  const cells = counts
    .flatMap(([of, count]) => Array.from({ length: Math.ceil(count / perCell) }, () => of))
    .slice(0, MAX_CELLS)
  return html`<div class="plot" data-member=${name} data-state=${isWell ? 'well' : 'lost'}>
    <p class="plot-head"><b>${isWell ? title : `${title}: ${state}`}</b><span>${note}</span></p>
    <div class="cells" aria-hidden="true">${cells.map(cell)}</div>
  </div>`
}

/**
 * @param {Now} now
 * @returns {PlotPlan[]}
 */
function plansOf({ connections, workers }) {
  const { members, unleased, budget } = connections
  const slots = workers.map(({ slot, state }) => {
    const found = members.find(({ name }) => name === String(slot))
    return planOf(found ?? empty(String(slot)), `Worker ${slot}`, state)
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
function empty(name) {
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
  if (leased !== null) parts.push(`${leased} assigned`)
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
