import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Simulator } from '../strict-simulator/simulator.ts'
import { changeKeys, keysPath, makeKey, makeKeyId } from '../../src/keys/key-store.ts'
import { threadTimeMs } from '../bench/thread-time.ts'
import { type GatewayProcess, type LogLine, startGateway } from '../helper/gateway-process.ts'
import { namedKey } from '../helper/named-key.ts'
import { next } from '../helper/simulated-words.ts'
import { ByteRelay } from './byte-relay.ts'
import type { Client, Place, Way } from './client.ts'
import { hiddenString, secretWord } from './hidden-words.ts'
import { endLeftovers } from './leftovers.ts'
import { runCommand } from './run-command.ts'
import { failureOf, missing } from './usual-trials.ts'

/** Rounds of tools in a session, each of which adds `ROUND_BYTES` to the conversation. */
export const ROUNDS = 40
export const ROUND_BYTES = 9_000
const SESSION_TIMEOUT_MS = 600_000
const DISTURBED_ROUND = 10
const MODEL = 'claude-sonnet-5'
/** What happens in the middle of a session. */
export type Disturbance = 'nothing' | 'a worker is killed' | 'SIGUSR2' | 'two at once'

/** One request of a session, when it has ended. */
interface Round {
  /** CPU time of the gateway so far. */
  readonly cpuMs: number
  /** Bytes that the client has sent so far. */
  readonly sent: number
  /** Time until the first byte of the answer. */
  readonly firstMs: number
}

export interface SessionFigures {
  /** What went wrong, or `null`. */
  readonly problem: string | null
  readonly rounds: readonly Round[]
}

export interface SessionOptions {
  readonly client: Client
  readonly way: Way
  readonly installed: string
  readonly disturbance: Disturbance
  /** Made anew. */
  readonly folder: string
  readonly signal: AbortSignal
}

/** A client works through a session of `ROUNDS` tool calls, with a gateway and a strict upstream of its own. */
export async function runLongSession(options: SessionOptions): Promise<SessionFigures> {
  const { disturbance, folder } = options
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, 'state'), { recursive: true, mode: 0o700 })
  const key = await limitedKey(join(folder, 'state'))
  const rounds: Round[] = []
  const problems: string[] = []
  const simulator = new Simulator({ gapMs: 0 })
  const upstream = await simulator.start()
  const gateway: GatewayProcess = await startGateway({
    upstreamUrl: upstream.url,
    isMeasured: true,
    env: {
      KIRO_AUTH_URL: upstream.url,
      PROXY_API_KEY: 'an-operators-key',
      STATE_DIR: join(folder, 'state'),
      WORKERS: disturbance === 'nothing' ? '1' : '2'
    },
    keeps: (line) => {
      if (line['event'] === 'request.completed') onRound(line)
      return true
    }
  })
  const relay = await ByteRelay.start(gateway.url)
  const onRound = (line: LogLine): void => {
    if (line['code'] === undefined) {
      const cpuMs = threadTimeMs(gateway.child.pid ?? 0)
      rounds.push({ cpuMs, sent: relay.sent, firstMs: firstMsOf(line) })
      if (rounds.length === DISTURBED_ROUND) disturb(disturbance, gateway, line)
    } else if (!isForgiven(line)) problems.push(JSON.stringify([line['code'], line['reason']]))
  }
  try {
    const count = disturbance === 'two at once' ? 2 : 1
    const sessions = Array.from({ length: count }, (_, index) =>
      workThrough(options, { url: relay.url, key, folder: join(folder, String(index)) })
    )
    problems.push(...(await Promise.all(sessions)).filter((problem) => problem !== null))
    if (rounds.length < count * ROUNDS) problems.push(`only ${rounds.length} rounds`)
    return { problem: problems[0] ?? null, rounds }
  } finally {
    relay.close()
    await gateway.destroy()
    await simulator.close()
  }
}

/** A key that may have one stream at once. */
export async function limitedKey(stateDir: string): Promise<string> {
  const { text, sha256 } = makeKey()
  const key = namedKey({ id: makeKeyId(), hashes: [{ sha256, until: null }], maxStreams: 1 })
  await changeKeys(keysPath(stateDir), () => [key], new AbortController().signal)
  return text
}

interface OwnPlace extends Pick<Place, 'url' | 'key'> {
  readonly folder: string
}

/** Resolves with what went wrong, or `null`. */
async function workThrough(options: SessionOptions, own: OwnPlace): Promise<string | null> {
  const { way, installed, signal } = options
  const { folder, ...address } = own
  const place = {
    ...address,
    model: way.model ?? MODEL,
    installed,
    home: join(folder, 'home'),
    project: join(folder, 'project')
  }
  mkdirSync(join(place.home, 'tmp'), { recursive: true })
  mkdirSync(place.project, { recursive: true })
  for (const [path, text] of Object.entries(way.files?.(place) ?? {})) {
    mkdirSync(join(place.home, path, '..'), { recursive: true })
    writeFileSync(join(place.home, path), text)
  }
  const line = 'Words of a file that is read again and again.\n'
  writeFileSync(join(place.project, 'big.txt'), line.repeat(ROUND_BYTES / line.length))
  const word = secretWord()
  const last = next(`sim:say=${hiddenString(word)}`)
  const prompt = `use tools ${way.tools.read('big.txt')} sim:rounds=${ROUNDS} ${last}`
  try {
    const command = way.ask(prompt, place)
    const outcome = await runCommand({ command, place, timeoutMs: SESSION_TIMEOUT_MS, signal })
    writeFileSync(join(folder, 'output.txt'), `${outcome.stdout}\n---\n${outcome.stderr}`)
    return failureOf(outcome) ?? missing(outcome, word)
  } finally {
    endLeftovers(place.home)
  }
}

/** `line` is about the last request. */
function disturb(disturbance: Disturbance, gateway: GatewayProcess, line: LogLine): void {
  if (disturbance === 'a worker is killed') process.kill(Number(line['pid']), 'SIGKILL')
  if (disturbance === 'SIGUSR2') gateway.child.kill('SIGUSR2')
}

/** A client may leave, and one that has lost its connection is told to send the whole conversation. */
function isForgiven({ code, reason }: LogLine): boolean {
  return code === 'GW_CLIENT_CLOSED' || String(reason).startsWith('Previous response')
}

function firstMsOf({ phase_ms: phases }: LogLine): number {
  const { read, transform, queue, connect, ttfb } = Object(phases) as Record<string, number>
  return [read, transform, queue, connect, ttfb].reduce<number>((sum, ms) => sum + (ms ?? 0), 0)
}
