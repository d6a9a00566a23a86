/* The fleet that this gateway is one of. */
import { html } from './lit.js'
import { duration, UNKNOWN } from './format.js'
import { facts, figure, meter, quantity } from './parts.js'

/** @typedef {NonNullable<import('../feed.ts').Now['fleet']>} Fleet */

/** @type {Readonly<Record<string, string>>} */
const STAGES = { joining: 'joining', serving: 'running', closing: 'draining', cut: 'cut off' }

/** @param {Fleet} fleet */
export function fleetCard(fleet) {
  const {
    phase,
    era,
    free,
    contactMs,
    granted,
    returned,
    stage,
    holder,
    replicas,
    maxConnections
  } = fleet
  const here = fleet.members.filter(({ isSilent }) => !isSilent).length
  const lease = granted - returned
  const lines = [
    ...fleet.members.map(({ name, connections, waiting, isSilent }) => {
      return { name, connections, waiting, state: isSilent ? 'silent' : 'there' }
    }),
    ...fleet.awaited.map((name) => {
      return { name, connections: null, waiting: null, state: 'awaited' }
    })
  ]
  return html`<section class="card" aria-labelledby="fleet-title" id="fleet-card">
    <div class="card-head"><h3 id="fleet-title">Fleet</h3>
      <p class="note"><b>${quantity('fleet-members', here)}</b> of <b>${quantity('fleet-replicas', replicas)}</b> gateways share <b>${quantity('fleet-max', maxConnections)}</b> connections, <b>${quantity('fleet-free', free)}</b> of them free</p></div>
    ${facts(
      [
        ['This gateway', figure('fleet-stage', stage, STAGES[stage] ?? stage)],
        ['It may have', quantity('fleet-lease', lease)],
        ['Phase', figure('fleet-phase', phase, phase ?? UNKNOWN)],
        ['Granted since the start', quantity('fleet-granted', granted)],
        ['Era', quantity('fleet-era', era)],
        ['Given back', quantity('fleet-returned', returned)],
        [
          'Sign of life confirmed',
          figure(
            'fleet-contact-ms',
            contactMs,
            contactMs === null ? 'none yet' : `${duration(contactMs)} ago`
          )
        ],
        ['Sign-in renewed by', figure('fleet-holder', holder, holder ?? UNKNOWN)]
      ],
      'pairs'
    )}
    <table><thead><tr><th scope="col">Gateway</th><th scope="col">Connections</th><th scope="col" class="number from-s">Waiting</th><th scope="col">State</th></tr></thead>
      <tbody>${lines.map(
        ({ name, connections, waiting, state }) => html`<tr data-member=${name}>
        <th scope="row">${name === fleet.member ? `${name} (this one)` : name}</th>
        <td><div class="bar-cell">${quantity('fleet-member-connections', connections)}${meter((connections ?? 0) / Math.max(1, maxConnections), 'plain')}</div></td>
        <td class="number from-s">${quantity('fleet-member-waiting', waiting)}</td>
        <td><span class="state" data-level=${state === 'there' ? 'good' : 'fair'}>${state === 'there' && name === fleet.holder ? 'renews the sign-in' : state}</span></td></tr>`
      )}</tbody></table>
  </section>`
}
