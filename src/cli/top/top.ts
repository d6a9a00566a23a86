import { setTimeout as delay } from 'node:timers/promises'
import { inspectConfig } from '../../config/load.ts'
import { operatorError } from '../../shared/errors.ts'
import { askGateway, type AskedGateway } from '../ask-gateway.ts'
import { type Command, EXIT_OK, textOption, UsageError } from '../command.ts'
import { gatewayUrl } from '../setup/gateway.ts'
import { toColumns } from '../terminal.ts'
import { type Reading, readFigures, Readings } from './key-figures.ts'

const EVERY_MS = 2_000
const TIMEOUT_MS = 10_000

export const top: Command = {
  name: 'top',
  summary: 'Shows requests and credits at work, in all and by key.',
  usage: 'kiro-gateway top [--once] [--url URL] [--key KEY]',
  options: { once: { type: 'boolean' }, url: { type: 'string' }, key: { type: 'string' } },
  help: `Shows requests and credits in all, and each key's streams, waiting requests and usage, every two seconds
until Ctrl-C.
Credits per hour are measured while it runs. It reads from a running gateway with an operator key.

  --once             Shows one snapshot and exits.
  --url URL          Address of the gateway; by default from the settings of this folder.
  --key KEY          Operator key; by default the first of PROXY_API_KEY. Prefer the setting: other users
                     of this machine may see the command line.`,
  async run(call) {
    if (call.positionals.length > 0) throw new UsageError('top takes only options')
    const { config } = inspectConfig(call.env)
    const url = gatewayUrl(textOption(call, 'url'), config)
    const key = textOption(call, 'key') ?? config.server.apiKeys[0] ?? null
    const readings = new Readings()
    for (;;) {
      const reading = await read({ url, key, signal: call.signal })
      readings.add(reading)
      const isOnce = call.values['once'] === true || !call.terminal.isRedrawn
      if (call.isJson) call.terminal.write(JSON.stringify(toAnswer(reading, readings)))
      else if (isOnce) for (const line of screenOf(reading, readings)) call.terminal.write(line)
      else call.terminal.redraw(screenOf(reading, readings))
      if (isOnce) return EXIT_OK
      await delay(EVERY_MS, undefined, { signal: call.signal })
    }
  }
}

/** @throws {GatewayError} GW_CONFIG_INVALID without an answer, or with a wrong one */
async function read(gateway: AskedGateway): Promise<Reading> {
  const { url, signal } = gateway
  const question = { path: '/metrics', timeoutMs: TIMEOUT_MS }
  const { status, text } = await askGateway(gateway, question).catch((cause: unknown) => {
    signal.throwIfAborted()
    throw operatorError(
      `No gateway answers at ${url}. Check that it is running, or give its address with --url.`,
      cause
    )
  })
  if (status === 200 && text !== '') return readFigures(text, performance.now())
  if (status === 200) throw operatorError(`${url}/metrics answered with nothing, or with too much.`)
  if (status === 401 || status === 403) {
    throw operatorError(`The gateway at ${url} needs an operator key (PROXY_API_KEY).`)
  }
  throw operatorError(`${url}/metrics answered with status ${status}.`)
}

function sortedKeys({ keys }: Reading): readonly string[] {
  const rankOf = (name: string): number => {
    const { streams = 0, waiting = 0 } = keys.get(name) ?? {}
    return streams + waiting
  }
  return [...keys.keys()].toSorted(
    (one, other) =>
      rankOf(other) - rankOf(one) ||
      (keys.get(other)?.credits ?? 0) - (keys.get(one)?.credits ?? 0) ||
      one.localeCompare(other)
  )
}

const HEADINGS = [
  'KEY',
  'STREAMS',
  'WAITING',
  'REQUESTS',
  'REFUSED',
  'CREDITS/H',
  'CREDITS',
  'RESERVED'
]

function screenOf(reading: Reading, readings: Readings): readonly string[] {
  const { inFlight, waiting, gated, keys, totals } = reading
  const others = gated === 0 ? '' : `, ${gated} for the rate limit or a pause`
  const head = `${inFlight} requests running, ${waiting - gated} waiting for a connection${others}`
  const all = readings.totalCreditsPerHour
  const perHour = all === null ? '' : `, ${all.toFixed(1)} an hour`
  const sums = `${totals.requests} requests since the start, ${totals.credits.toFixed(2)} credits${perHour}`
  if (keys.size === 0) return [head, sums, 'No request has used a named key yet.']
  const rows = sortedKeys(reading).flatMap((name) => {
    const figures = keys.get(name)
    if (figures === undefined) return []
    const { credits, reserved } = figures
    const counts = [figures.streams, figures.waiting, figures.requests, figures.refusals]
    const rate = readings.creditsPerHour(name)
    const amounts = [rate?.toFixed(1) ?? '-', credits.toFixed(2), reserved.toFixed(2)]
    return [[name, ...counts.map(String), ...amounts]]
  })
  return [head, sums, '', ...toColumns([HEADINGS, ...rows])]
}

function toAnswer(reading: Reading, readings: Readings) {
  const { inFlight, waiting, keys, totals } = reading
  return {
    in_flight: inFlight,
    waiting,
    ...totals,
    credits_per_hour: readings.totalCreditsPerHour,
    keys: sortedKeys(reading).map((key) => ({
      key,
      ...keys.get(key),
      credits_per_hour: readings.creditsPerHour(key)
    }))
  }
}
