import {
  byId,
  fillRows,
  make,
  nameFigures,
  setAttribute,
  setFigure,
  setMetric,
  setText
} from './dom.js'
import { amount, duration, UNKNOWN } from './format.js'

/** @typedef {NonNullable<import('../feed.ts').Now['fleet']>} Fleet */
/** @typedef {{ name: string, connections: number | null, waiting: number | null, state: string }} Line */

/** @type {Readonly<Record<string, string>>} */
const STAGES = {
  joining: 'joining',
  serving: 'serves',
  closing: 'draining',
  cut: 'cut off'
}

export class FleetCard {
  /** @type {{ element: HTMLElement, rows: ReturnType<typeof createMember>[] }} Bounded by a fleet's members and those awaited. */
  #table = { element: byId('fleet-members', HTMLElement), rows: [] }
  #card = byId('fleet-card', HTMLElement)

  /** @param {Fleet | null} fleet */
  show(fleet) {
    this.#card.hidden = fleet === null
    if (fleet === null) return
    showFacts(fleet)
    /** @type {Line[]} */
    const lines = [
      ...fleet.members.map(({ name, connections, waiting, isSilent }) => {
        return { name, connections, waiting, state: isSilent ? 'silent' : 'there' }
      }),
      ...fleet.awaited.map((name) => {
        return { name, connections: null, waiting: null, state: 'awaited' }
      })
    ]
    fillRows(this.#table, lines, createMember, (row, { name, connections, waiting, state }) => {
      row.element.dataset['member'] = name
      setText(row.name, name === fleet.member ? `${name} (this one)` : name)
      setFigure(row.connections, connections, amount(connections))
      const share = (connections ?? 0) / Math.max(1, fleet.maxConnections)
      row.bar.style.width = `${(100 * Math.min(1, share)).toFixed(1)}%`
      setFigure(row.waiting, waiting, amount(waiting))
      setText(row.state, state === 'there' && name === fleet.holder ? 'renews the sign-in' : state)
      setAttribute(row.state, 'data-level', state === 'there' ? 'good' : 'fair')
    })
  }
}

/** @param {Fleet} fleet */
function showFacts(fleet) {
  const { phase, era, free, contactMs, granted, returned, stage, holder } = fleet
  const here = fleet.members.filter(({ isSilent }) => !isSilent).length
  setMetric('fleet-members', here, amount(here))
  setMetric('fleet-replicas', fleet.replicas, amount(fleet.replicas))
  setMetric('fleet-max', fleet.maxConnections, amount(fleet.maxConnections))
  setMetric('fleet-free', free, amount(free))
  setMetric('fleet-phase', phase, phase ?? UNKNOWN)
  setMetric('fleet-era', era, amount(era))
  setMetric('fleet-stage', stage, STAGES[stage] ?? stage)
  setMetric(
    'fleet-contact-ms',
    contactMs,
    contactMs === null ? 'none yet' : `${duration(contactMs)} ago`
  )
  setMetric('fleet-lease', granted - returned, amount(granted - returned))
  setMetric('fleet-granted', granted, amount(granted))
  setMetric('fleet-returned', returned, amount(returned))
  setMetric('fleet-holder', holder, holder ?? UNKNOWN)
}

function createMember() {
  const name = make('th')
  name.scope = 'row'
  const connections = make('span', 'number')
  const bar = make('i')
  const meter = make('div', 'meter', bar)
  meter.dataset['level'] = 'plain'
  const waiting = make('td', 'number from-s')
  const state = make('span', 'state')
  const cell = make('td', '', make('div', 'bar-cell', connections, meter))
  const element = make('tr', '', name, cell, waiting, make('td', '', state))
  nameFigures({ 'fleet-member-connections': connections, 'fleet-member-waiting': waiting })
  return { element, name, connections, bar, waiting, state }
}
