import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type GatewayProcess, type LogLine, startGateway } from '../helper/gateway-process.ts'
import { next } from '../helper/simulated-words.ts'
import { TmuxTerminal } from '../helper/tmux-terminal.ts'
import { Simulator } from '../strict-simulator/simulator.ts'
import type { Chat, Place } from './client.ts'
import { hasText, hiddenString, secretWord } from './hidden-words.ts'
import { endLeftovers } from './leftovers.ts'
import { limitedKey, ROUND_BYTES, type SessionOptions } from './long-session.ts'
import { quietEnvironment, runCommand } from './run-command.ts'
import { failureOf } from './usual-trials.ts'

export interface InterruptionFigures {
  /** What went wrong, or `null`. */
  readonly problem: string | null
  /** Milliseconds from the last key, or the signal, until the gateway has ended the answer and nothing of it is left. */
  readonly freeMs: number
}

type InterruptionOptions = Omit<SessionOptions, 'disturbance' | 'client'>

const MODEL = 'claude-haiku-4.5'
const LOOP_ROUNDS = 4
/** A machine may be busy; the figure is told, and only a hang is a failure. */
const PATIENCE_MS = 600_000
const LOOK_MS = 20
const TYPING_MS = 1_000
/** Words of an answer that goes on for minutes, as they are on the screen. */
const SLOW_WORDS = /built-in simulator/
const SLOW = 'Tell me something. sim:gap=700'

/**
 * A session whose user interrupts an answer between two loops of tools, with a key that may have one stream: if the first
 * answer kept its place, the client could not go on.
 */
export async function runInterruptedSession(
  options: InterruptionOptions
): Promise<InterruptionFigures> {
  const { folder, way } = options
  rmSync(folder, { recursive: true, force: true })
  const place = makePlace(options)
  const state = join(folder, 'state')
  mkdirSync(state, { recursive: true, mode: 0o700 })
  const key = await limitedKey(state)
  const heard = new HeardWords()
  const simulator = new Simulator({ gapMs: 0, onBody: (text) => heard.hear(text) })
  const upstream = await simulator.start()
  const env = { KIRO_AUTH_URL: upstream.url, PROXY_API_KEY: 'an-operators-key', STATE_DIR: state }
  const gateway = await startGateway({ upstreamUrl: upstream.url, env: { ...env, WORKERS: '1' } })
  const reached = { ...place, url: gateway.url, key }
  const session = { ...options, place: reached, gateway, simulator, heard }
  try {
    const freeMs = way.chat === undefined ? await givenUp(session) : await typed(session, way.chat)
    return { problem: refusalIn(gateway.lines) ?? (await heldBack(gateway)), freeMs }
  } catch (error) {
    return { problem: String(error), freeMs: NaN }
  } finally {
    endLeftovers(place.home)
    await gateway.destroy()
    await simulator.close()
  }
}

interface Session extends InterruptionOptions {
  readonly place: Place
  readonly gateway: GatewayProcess
  readonly simulator: Simulator
  readonly heard: HeardWords
}

/** Words of prompts that have reached the upstream. */
class HeardWords {
  readonly #awaited = new Set<string>()

  /** A word for a prompt; `has()` says whether it has come. */
  next(): string {
    const word = secretWord()
    this.#awaited.add(word)
    return word
  }

  hear(text: string): void {
    for (const word of this.#awaited) if (text.includes(word)) this.#awaited.delete(word)
  }

  has(word: string): boolean {
    return !this.#awaited.has(word)
  }
}

function makePlace({ folder, way, installed }: InterruptionOptions): Place {
  const [home, project] = [join(folder, 'home'), join(folder, 'project')]
  mkdirSync(join(home, 'tmp'), { recursive: true })
  mkdirSync(project, { recursive: true })
  const line = 'Words of a file that is read again and again.\n'
  writeFileSync(join(project, 'big.txt'), line.repeat(ROUND_BYTES / line.length))
  return { url: '', key: '', model: way.model ?? MODEL, installed, home, project }
}

/** Calls of tools, and a word in the end. */
function loopOf({ way }: Session, word: string): string {
  const last = next(`sim:say=${hiddenString(word)}`)
  return `use tools ${way.tools.read('big.txt')} sim:gap=0 sim:rounds=${LOOP_ROUNDS} ${last}`
}

/** In a terminal, by the keys that the client has for it. */
async function typed(session: Session, chat: Chat): Promise<number> {
  const { place, folder, way } = session
  for (const [path, text] of Object.entries({ ...way.files?.(place), ...chat.files(place) })) {
    mkdirSync(dirname(join(place.home, path)), { recursive: true })
    writeFileSync(join(place.home, path), text)
  }
  const terminal = new TmuxTerminal({ socket: join(folder, 'tmux'), folder: place.project })
  const { argv, env } = chat.command(place)
  const { CI: _, NO_COLOR: __, ...quiet } = quietEnvironment(place)
  try {
    terminal.run({ argv, env: { ...quiet, TERM: 'xterm-256color', ...env } })
    await terminal.sees(chat.ready, PATIENCE_MS)
    const [before, after] = [secretWord(), secretWord()]
    await submit(session, terminal, loopOf(session, before))
    await terminal.sees(new RegExp(before), PATIENCE_MS)
    await submit(session, terminal, SLOW)
    await terminal.sees(SLOW_WORDS, PATIENCE_MS)
    const from = session.gateway.lines.length
    let pressedAt = 0
    for (const { after: shown, key } of chat.interrupt) {
      if (shown !== undefined) await terminal.sees(shown, PATIENCE_MS)
      pressedAt = Date.now()
      terminal.press(key)
    }
    const freeMs = await untilFree(session, from, pressedAt)
    await submit(session, terminal, loopOf(session, after))
    await terminal.sees(new RegExp(after), PATIENCE_MS)
    return freeMs
  } finally {
    terminal.stop()
  }
}

/**
 * Types a prompt and sends it. A key that follows a long text at once belongs to the text, as in a paste, so that it is pressed
 * until the prompt is heard.
 */
async function submit({ heard }: Session, terminal: TmuxTerminal, prompt: string): Promise<void> {
  const word = heard.next()
  terminal.type(`${word} ${prompt}`)
  const until = performance.now() + PATIENCE_MS
  do {
    if (performance.now() > until) throw new Error(`it sent nothing:\n${terminal.screen}`)
    await delay(TYPING_MS)
    terminal.press('Enter')
    await delay(TYPING_MS)
  } while (!heard.has(word))
}

/** In a program, by an AbortSignal. */
async function givenUp(session: Session): Promise<number> {
  const { way, place, signal, gateway } = session
  const words = [secretWord(), secretWord()] as const
  const prompts = [loopOf(session, words[0]), SLOW, loopOf(session, words[1])]
  const command = way.giveUp?.(prompts, place)
  if (command === undefined) throw new Error('it has no way to give an answer up')
  const running = runCommand({ command, place, timeoutMs: 2 * PATIENCE_MS, signal })
  const ended = gateway.logged(isLeft)
  const outcome = await Promise.race([running, ended.then(() => running)])
  const failure = failureOf(outcome)
  if (failure !== null) throw new Error(`${failure}: ${outcome.stderr.slice(-500)}`)
  for (const word of words) if (!hasText(outcome.stdout, word)) throw new Error(`it lacks ${word}`)
  const [, at] = /given up at (\d+)/.exec(outcome.stdout) ?? []
  return Date.parse(String((await ended)['time'])) - Number(at)
}

/** Waits until the gateway has ended the answer and the upstream hears no more of it. */
async function untilFree(session: Session, from: number, since: number): Promise<number> {
  const line = await session.gateway.logged(isLeft, from)
  const until = performance.now() + PATIENCE_MS
  while (session.simulator.stats().inFlight > 0) {
    if (performance.now() > until) throw new Error('the upstream still answers')
    await delay(LOOK_MS)
  }
  return Math.max(0, Date.parse(String(line['time'])) - since)
}

function isLeft({ code }: LogLine): boolean {
  return code === 'GW_CLIENT_CLOSED'
}

/** The first request that was refused, by us or upstream. */
function refusalIn(lines: readonly LogLine[]): string | null {
  const refused = lines.find((line) => line['code'] !== undefined && !isLeft(line))
  return refused === undefined ? null : JSON.stringify([refused['code'], refused['reason']])
}

/** Waits until no permit is in use; the client has ended. Resolves with what is wrong, or `null`. */
async function heldBack({ url }: GatewayProcess): Promise<string | null> {
  const headers = { authorization: 'Bearer an-operators-key' }
  const until = performance.now() + PATIENCE_MS
  for (;;) {
    const metrics = await (await fetch(`${url}/metrics`, { headers })).text()
    const [, held] = /^kiro_gateway_pool_permits_in_use (\d+)$/m.exec(metrics) ?? []
    if (held === '0') return null
    if (performance.now() > until) return `${held} permits are in use in the end`
    await delay(LOOK_MS)
  }
}
