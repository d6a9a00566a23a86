import { setTimeout as delay } from 'node:timers/promises'
import { inspectConfig } from '../config/load.ts'
import { recordNameOf } from '../control/fleet/fleet-sign-in.ts'
import { createCredentialSource } from '../credentials/sources.ts'
import { namesOf } from '../fleet/fleet-news.ts'
import { sealOf } from '../fleet/fleet-secrets.ts'
import { type FleetState, permitsOf } from '../fleet/fleet-state.ts'
import { viewOf } from '../fleet/fleet-view.ts'
import { type FleetEvent, nextFleet } from '../fleet/next-fleet.ts'
import { readSignInRecord } from '../fleet/sign-in-record.ts'
import { ValkeyStore } from '../fleet/valkey-store.ts'
import { fleetTimes } from '../shared/elapsed.ts'
import { operatorError, GatewayError } from '../shared/errors.ts'
import { type Command, type CommandCall, EXIT_OK, UsageError } from './command.ts'
import { toColumns } from './terminal.ts'

const PATIENCE_MS = 5_000
const TRIES = 20

/** Shows the fleet of FLEET_URL, and changes what only a person can know. */
export const fleet: Command = {
  name: 'fleet',
  summary: 'Shows a fleet, and frees what a lost gateway held.',
  usage: `kiro-gateway fleet status
kiro-gateway fleet open
kiro-gateway fleet forget NAME`,
  options: { yes: { type: 'boolean' } },
  help: `Needs the FLEET_URL, FLEET_NAME and FLEET_SECRET of the gateways.

  status        Lists members, their connections and when they were last seen. Takes up to six seconds.
  open          Stops waiting for missing gateways. Only if no unlisted gateway is alive and holds connections.
  forget NAME   Gives this gateway's connections to the others. Only if no process of that name is alive.

The last two rely on your word: if it is wrong, the upstream sees more connections than HTTP_MAX_CONNECTIONS.

  --yes         Does not ask for confirmation.`,
  async run(call) {
    const [action = 'status', name, ...more] = call.positionals
    const isForget = action === 'forget'
    if (!['status', 'open', 'forget'].includes(action) || more.length > 0) {
      throw new UsageError('expected status, open or forget NAME')
    }
    if (isForget !== (name !== undefined)) throw new UsageError('fleet forget needs one name')
    const opened = await openStore(call)
    const { store } = opened
    try {
      if (action === 'status') await tell(call, opened)
      else
        await change(
          call,
          store,
          isForget ? { type: 'forget', name: name ?? '' } : { type: 'open' }
        )
    } finally {
      await store.close()
    }
    return EXIT_OK
  }
}

interface Opened {
  readonly store: ValkeyStore
  readonly fleetName: string
  readonly beatMs: number
}

/** @throws {GatewayError} GW_CONFIG_INVALID if Valkey cannot be used */
async function openStore({ env }: CommandCall): Promise<Opened> {
  const { config, problems } = inspectConfig(env)
  const { url, name, leaseMs } = config.fleet
  const [problem] = problems.filter((sentence) => sentence.includes('FLEET_'))
  if (problem !== undefined) throw operatorError(problem)
  if (url === null)
    throw new UsageError('FLEET_URL is not set: this gateway is not part of a fleet')
  const seal = await sealOf(config.fleet)
  const store = await ValkeyStore.open({ url, name, seal, replicas: 0 })
  const deadline = performance.now() + PATIENCE_MS
  while (!store.isUp && performance.now() < deadline) await delay(50)
  if (store.isUp) return { store, fleetName: name, beatMs: fleetTimes(leaseMs).beatMs }
  await store.close()
  const message = 'The Valkey at FLEET_URL does not answer.'
  throw operatorError(message)
}

async function stateOf(store: ValkeyStore): Promise<FleetState> {
  const { reading } = await store.read()
  if (reading.type === 'state') return reading.state
  const message = {
    none: 'There is no fleet yet: no gateway has joined.',
    newer: 'The fleet runs a newer version of this program.',
    foreign: 'The fleet has a different FLEET_SECRET.'
  }[reading.type]
  throw operatorError(message)
}

const BEATS = 3

/** Watches until each member has beaten or had time to: the register holds no times, since machines' clocks differ. */
async function watch(store: ValkeyStore, beatMs: number): Promise<ReadonlyMap<string, number>> {
  const { beats: before } = await store.read()
  const began = performance.now()
  const heardMs = new Map<string, number>()
  while (heardMs.size < Object.keys(before).length && performance.now() - began < BEATS * beatMs) {
    await delay(beatMs / 10)
    const { beats } = await store.read()
    for (const [inc, beat] of Object.entries(beats)) {
      if (!heardMs.has(inc) && before[inc] !== beat) heardMs.set(inc, performance.now() - began)
    }
  }
  return heardMs
}

async function holderOf(store: ValkeyStore, { env }: CommandCall): Promise<string | null> {
  const { credentials } = inspectConfig(env).config
  const source = createCredentialSource(credentials, { warn: () => {} })
  const { value } = await store.records.read(recordNameOf(source ?? {}))
  const reading = readSignInRecord(value)
  return reading.type === 'record' && reading.record.holder !== '' ? reading.record.holder : null
}

async function tell(call: CommandCall, { store, beatMs, fleetName }: Opened): Promise<void> {
  const heardMs = await watch(store, beatMs)
  const state = await stateOf(store)
  const { phase, era, maxConnections, replicas, free, awaited } = viewOf(state)
  const holder = await holderOf(store, call)
  const members = Object.entries(state.members)
    .map(([inc, entry]) => ({
      name: entry.name,
      incarnation: inc,
      connections: permitsOf(entry),
      granted: entry.granted,
      returned: entry.returned,
      waiting: entry.want,
      silent: !heardMs.has(inc)
    }))
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
  if (call.isJson) {
    const { rev } = state
    const facts = { fleet: fleetName, phase, era, rev, max: maxConnections, free, replicas }
    call.terminal.write(JSON.stringify({ ...facts, holder, members, missing: awaited }))
    return
  }
  call.terminal.write(
    `${phase}, ${maxConnections} connections, ${members.length} of ${replicas} gateways`
  )
  call.terminal.write(`era ${era}, ${free} connections free, sign-in renewed by ${holder ?? '-'}`)
  const rows = members.map((one) => [
    one.name,
    String(one.connections),
    String(one.waiting),
    one.silent ? `not for ${((BEATS * beatMs) / 1000).toFixed(1)} s` : 'now'
  ])
  for (const line of toColumns([['NAME', 'CONNECTIONS', 'WAITING', 'LAST SEEN'], ...rows])) {
    call.terminal.write(line)
  }
  if (awaited.length > 0) call.terminal.write(`waiting for ${awaited.join(', ')}`)
}

async function change(call: CommandCall, store: ValkeyStore, event: FleetEvent): Promise<void> {
  const state = await stateOf(store)
  if (event.type === 'forget') requireKnown(state, event.name)
  const question = 'If that gateway is alive, the upstream will see too many connections. Continue?'
  if (call.values['yes'] !== true && !(await call.terminal.confirm(question))) return
  for (let tries = 0; tries < TRIES; tries += 1) {
    const { run, rev } = await store.read()
    const next = nextFleet(await stateOf(store), [event])
    if (next.rev !== rev + 1) continue
    if ((await store.cas({ run, rev, next, expects: {} })).isWritten) {
      call.terminal.note('done')
      return
    }
  }
  throw new GatewayError('GW_INTERNAL', undefined, {
    message: 'The fleet is changing too fast. Try again.'
  })
}

/** @throws {GatewayError} GW_CONFIG_INVALID, with the known names */
function requireKnown({ members, awaited }: FleetState, name: string): void {
  const known = Object.values(namesOf({ members, awaited }))
  if (known.includes(name)) return
  const names = [...new Set(known)].toSorted()
  const hint = names.length === 0 ? 'There are none.' : `There are: ${names.join(', ')}.`
  const message = `No gateway of the fleet is called ${JSON.stringify(name.slice(0, 64))}. ${hint}`
  throw operatorError(message)
}
