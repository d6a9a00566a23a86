import { inspectConfig } from '../config/load.ts'
import { checksOf } from '../fleet/fleet-secrets.ts'
import { type FleetState, permitsOf } from '../fleet/fleet-state.ts'
import { type FleetEvent, nextFleet } from '../fleet/next-fleet.ts'
import { ValkeyEngine } from '../fleet/valkey-engine.ts'
import { GatewayError } from '../shared/errors.ts'
import { type Command, type CommandCall, EXIT_OK, UsageError } from './command.ts'
import { toColumns } from './terminal.ts'

/** Somebody else may write at the same moment. */
const TRIES = 20

/** Looks at the fleet that FLEET_URL leads to, and says what only a person can know. */
export const fleet: Command = {
  name: 'fleet',
  summary: 'Says how a fleet of gateways does, and gives back what a lost one had.',
  usage: `kiro-gateway fleet status
kiro-gateway fleet open
kiro-gateway fleet forget NAME`,
  options: { yes: { type: 'boolean' } },
  help: `Needs FLEET_URL, FLEET_NAME and FLEET_SECRET of the gateways.

  status        Who is a member and has how many connections.
  open          Waits for nobody any more: no gateway is alive that has connections and is not listed.
  forget NAME   Gives to others what this one had: no process of that name is alive.

The last two are an operator's word: if it is not true, the upstream sees more than HTTP_MAX_CONNECTIONS.

  --yes         Does not ask.`,
  async run(call) {
    const [action = 'status', name, ...more] = call.positionals
    const isForget = action === 'forget'
    if (!['status', 'open', 'forget'].includes(action) || more.length > 0) {
      throw new UsageError('fleet takes status, open or forget NAME')
    }
    if (isForget !== (name !== undefined)) throw new UsageError('fleet forget takes one name')
    const engine = await openEngine(call)
    try {
      if (action === 'status') tell(call, await stateOf(engine))
      else
        await change(
          call,
          engine,
          isForget ? { type: 'forget', name: name ?? '' } : { type: 'open' }
        )
    } finally {
      await engine.close()
    }
    return EXIT_OK
  }
}

async function openEngine({ env }: CommandCall): Promise<ValkeyEngine> {
  const { config, problems } = inspectConfig(env)
  const { url, name } = config.fleet
  const [problem] = problems.filter((sentence) => sentence.includes('FLEET_'))
  if (problem !== undefined)
    throw new GatewayError('GW_CONFIG_INVALID', undefined, { message: problem })
  if (url === null) throw new UsageError('FLEET_URL is not set: this gateway is in no fleet')
  return ValkeyEngine.open({ url, name, checks: await checksOf(config.fleet), replicas: 0 })
}

async function stateOf(engine: ValkeyEngine): Promise<FleetState> {
  const { reading } = await engine.read()
  if (reading.type === 'state') return reading.state
  const message = {
    none: 'There is no fleet yet: no gateway has come.',
    newer: 'The fleet is run by a newer version of this program.',
    foreign: 'The fleet has another FLEET_SECRET.'
  }[reading.type]
  throw new GatewayError('GW_CONFIG_INVALID', undefined, { message })
}

function tell(call: CommandCall, state: FleetState): void {
  const { era, phase, max, replicas, awaited, rev } = state
  const members = Object.entries(state.members).map(([inc, entry]) => ({
    name: entry.name,
    incarnation: inc,
    connections: permitsOf(entry),
    waiting: entry.want,
    silent: entry.isQuiet
  }))
  const missing = [...new Set(Object.values(awaited))]
  if (call.isJson) {
    call.terminal.write(JSON.stringify({ phase, era, rev, max, replicas, members, missing }))
    return
  }
  call.terminal.write(`${phase}, ${max} connections, ${members.length} of ${replicas} gateways`)
  const rows = members.map((one) => [
    one.name,
    String(one.connections),
    String(one.waiting),
    one.silent ? 'silent' : ''
  ])
  for (const line of toColumns([['NAME', 'CONNECTIONS', 'WAITING', ''], ...rows])) {
    call.terminal.write(line)
  }
  if (missing.length > 0) call.terminal.write(`waits for ${missing.join(', ')}`)
}

async function change(call: CommandCall, engine: ValkeyEngine, event: FleetEvent): Promise<void> {
  await stateOf(engine)
  const question = 'If that gateway is alive, the upstream will see too many connections. Go on?'
  if (call.values['yes'] !== true && !(await call.terminal.confirm(question))) return
  for (let tries = 0; tries < TRIES; tries += 1) {
    const { run, rev } = await engine.read()
    const next = nextFleet(await stateOf(engine), [event])
    if (next.rev !== rev + 1) continue
    if ((await engine.cas({ run, rev, next, expects: {} })).isWritten) {
      call.terminal.note('done')
      return
    }
  }
  throw new GatewayError('GW_INTERNAL', undefined, {
    message: 'The fleet changes too fast: try again.'
  })
}
