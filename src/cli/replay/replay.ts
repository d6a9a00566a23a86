import { inspectConfig } from '../../config/load.ts'
import { operatorError } from '../../shared/errors.ts'
import { version } from '../../shared/version.ts'
import {
  type Command,
  type CommandCall,
  EXIT_OK,
  EXIT_USAGE,
  textOption,
  UsageError
} from '../command.ts'
import { gatewayUrl } from '../setup/gateway.ts'
import { countText } from '../terminal.ts'
import { readCapture, type RecordedTurn } from './capture-reader.ts'
import { compareAnswers, compareRequests, countEvents, type Difference } from './compare.ts'
import { type OwnGatewayOptions, startOwnGateway } from './own-gateway.ts'
import { ask, CLIENT_LEFT, type NewAnswer } from './replay-client.ts'
import { isUnconnected, mendChecksums, UpstreamPlayer } from './upstream-player.ts'

const EXIT_DIFFERS = 1
const PLAYER_PORT = 8899
const MAX_SHOWN_CHARS = 400

export const replay: Command = {
  name: 'replay',
  summary: 'Replays a captured request; shows what differs.',
  usage: 'kiro-gateway replay [--fast] [--against URL [--key KEY] [--listen PORT]] FOLDER',
  options: {
    against: { type: 'string' },
    fast: { type: 'boolean' },
    key: { type: 'string' },
    listen: { type: 'string' }
  },
  help: `Sends the request of a capture (DEBUG_CONTENT, in DEBUG_DIR/captures) to a gateway of this version again, with the
recorded settings and models. A recorded upstream answers, in the same pieces and pauses. Shows the first
difference to the recorded answer, ignoring ids and times. No other host is called, and no credits are used.

  --fast             Skips the pauses.
  --against URL      Sends the request to a running gateway instead. Start that gateway with
                     KIRO_API_URL=http://127.0.0.1:${PLAYER_PORT}; otherwise it calls the real upstream.
  --key KEY          Key of that gateway; by default the first of PROXY_API_KEY. Prefer the setting: it is safer.
  --listen PORT      Port of the recorded upstream, instead of ${PLAYER_PORT}.`,
  exitCodes: [
    { code: EXIT_OK, meaning: 'the answer is the recorded one' },
    { code: EXIT_DIFFERS, meaning: 'the answer differs from the recorded one' },
    { code: EXIT_USAGE, meaning: 'the capture could not be replayed' }
  ],
  async run(call) {
    const [folder, ...more] = call.positionals
    if (folder === undefined || more.length > 0) throw new UsageError('expected one folder')
    const against = textOption(call, 'against')
    const turn = await readCapture(folder)
    const report = await play(call, turn, against)
    if (call.isJson) call.terminal.write(JSON.stringify(report, null, 2))
    else for (const line of linesOf(report)) call.terminal.write(line)
    return report.difference === null ? EXIT_OK : EXIT_DIFFERS
  }
}

interface ReplayReport {
  readonly request: string
  readonly recorded: { readonly at: string; readonly version: string; readonly status: number }
  readonly against: string
  readonly events: number
  readonly calls: number
  readonly difference: Difference | null
}

async function play(
  call: CommandCall,
  turn: RecordedTurn,
  against: string | null
): Promise<ReplayReport> {
  const { facts, calls } = turn
  checkPlayable(turn)
  const isFast = call.values['fast'] === true
  const port = against === null ? 0 : portOf(call)
  const player = new UpstreamPlayer({ turn, isFast, port })
  try {
    const upstreamUrl = await player.start().catch((cause: unknown) => {
      const message = `Port ${port} is in use. Choose another one with --listen.`
      throw operatorError(message, cause)
    })
    const { signal } = call
    call.terminal.progress('replaying')
    const answer =
      against === null
        ? await askOwn({ turn, upstreamUrl, isFast, signal })
        : await ask(turn, { ...gatewayOf(call, against), signal })
    checkAsked({ player, turn, against, upstreamUrl })
    const { at, version: then, status, requestId } = facts
    return {
      request: requestId,
      recorded: { at, version: then, status },
      against: against ?? `this version, ${version}`,
      events: countEvents(turn.answer),
      calls: calls.length,
      difference: compare(turn, player, answer)
    }
  } finally {
    await player.close()
  }
}

async function askOwn(options: OwnGatewayOptions): Promise<NewAnswer> {
  await using gateway = await startOwnGateway(options)
  return await ask(options.turn, { url: gateway.url, key: null, signal: options.signal })
}

function gatewayOf(call: CommandCall, against: string) {
  const { config } = inspectConfig(call.env)
  const url = gatewayUrl(against, config)
  return { url, key: textOption(call, 'key') ?? config.server.apiKeys[0] ?? null }
}

function portOf(call: CommandCall): number {
  const text = textOption(call, 'listen') ?? String(PLAYER_PORT)
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port
  throw new UsageError('--listen needs a port from 1 to 65535')
}

/** @throws {GatewayError} GW_CONFIG_INVALID if the connection failed before anything was sent */
function checkPlayable({ calls, facts }: RecordedTurn): void {
  const index = calls.findIndex(isUnconnected)
  if (index !== -1) {
    throw operatorError(
      `Call ${index + 1} of the capture found no connection to the upstream, so it cannot be replayed.`
    )
  }
  for (const [at, call] of calls.entries()) {
    const isMasked = facts.masked.includes(`upstream-answer-${at + 1}`)
    if (isMasked && call.kind === 'generate') mendChecksums(call.answer)
  }
}

interface Asked {
  readonly player: UpstreamPlayer
  readonly turn: RecordedTurn
  readonly against: string | null
  readonly upstreamUrl: string
}

/** @throws {GatewayError} GW_CONFIG_INVALID if the gateway asked another upstream */
function checkAsked({ player, turn, against, upstreamUrl }: Asked): void {
  if (against === null || player.asked.length > 0 || turn.calls.length === 0) return
  throw operatorError(
    `The gateway at ${against} did not call the recorded upstream. Start it with KIRO_API_URL=${upstreamUrl}.`
  )
}

function compare(turn: RecordedTurn, { asked }: UpstreamPlayer, now: NewAnswer): Difference | null {
  const { facts, calls } = turn
  for (const [index, { body }] of calls.entries()) {
    const sent = asked[index]
    if (sent === undefined) break
    const found = compareRequests(body, sent.body, index + 1)
    if (found !== null) return found
  }
  const hasLeft = facts.status === CLIENT_LEFT
  if (!hasLeft && facts.status !== now.status) return differs('status', facts.status, now.status)
  const found = compareAnswers(turn.answer, now.body, { isPrefix: hasLeft })
  if (found !== null || hasLeft || asked.length === calls.length) return found
  return differs('calls', calls.length, asked.length)
}

function differs(part: 'status' | 'calls', was: number, is: number): Difference {
  return { part, number: 1, name: '', pointer: '', was: String(was), is: String(is) }
}

function linesOf({ request, recorded, against, events, calls, difference }: ReplayReport) {
  const { at, version: then, status } = recorded
  const head = [
    `${request} of ${at}, answered by version ${then} with status ${status}`,
    `replayed to ${against}`,
    ''
  ]
  if (difference === null) {
    const same = `${countText(events, 'event')} of the answer and ${countText(calls, 'request')} to the upstream`
    return [...head, `No difference: ${same} are the same.`]
  }
  const { was, is } = difference
  return [
    ...head,
    `First difference: ${placeOf(difference)}`,
    `  was  ${shown(was)}`,
    `  is   ${shown(is)}`
  ]
}

function placeOf({ part, number, name, pointer }: Difference): string {
  const at = pointer === '' ? '' : `, at ${pointer}`
  switch (part) {
    case 'status':
      return 'the status'
    case 'calls':
      return 'the number of upstream requests'
    case 'upstream-request':
      return `request ${number} to the upstream${at}`
    case 'answer':
      return `event ${number} of the answer${name === '' ? '' : ` (${name})`}${at}`
  }
}

function shown(text: string | null): string {
  if (text === null) return '(nothing)'
  return text.length <= MAX_SHOWN_CHARS ? text : `${text.slice(0, MAX_SHOWN_CHARS)}…`
}
