import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LogLine } from '../helper/gateway-process.ts'
import { next } from '../helper/simulated-words.ts'
import { smallPdf } from '../helper/small-pdf.ts'
import type { Way } from './client.ts'
import { hiddenString, secretWord } from './hidden-words.ts'
import type { Session, Trial } from './trial.ts'
import { failureOf, inTurns, missing } from './usual-trials.ts'

/** Reasons by itself, and signs what it thought. */
export const THINKING_MODEL = 'claude-opus-5'
/** Another name for it. */
export const THINKING_GPT = 'gpt-5.4'
/** Rounds of tools before the last answer. */
const ROUNDS = 3
/** Requests that a client may send after its quota is used up: Continue tries ten times more, OpenCode and Cline five times. */
const MOST_REFUSED = 11
/** Longest time from the first refusal to the last: those that try again double their waits, OpenClaw to 30 s each. */
const REFUSAL_SECONDS = 200
export const PDF_NAME = 'report.pdf'

/**
 * Reasoning goes back over several rounds of tools as it came: the simulator refuses it otherwise. In the last round it
 * refuses any, which shows that there was some. Where a client changes what was said before, the gateway finds out once and
 * leaves reasoning out from then on.
 */
export const THINKING: Trial = { name: 'thinking', attempt: tryThinking }

async function tryThinking(session: Session): Promise<string | null> {
  const { way } = session
  const place = { ...session.place, model: way.thinkingModel ?? THINKING_MODEL }
  const word = secretWord()
  const calls = Array.from({ length: ROUNDS }, (_, round) => way.tools.write(`${round}.txt`, 'x'))
  const last = `sim:signature-refused sim:say=${hiddenString(word)}`
  const outcome = await session.run((way.think ?? way.ask)(inTurns(calls, last), place), place)
  const failure = failureOf(outcome) ?? missing(outcome, word)
  if (failure !== null) return failure
  const lines = session.logged()
  const strips = lines.flatMap(({ msg }, index) => (msg === STRIPPED ? [index] : []))
  if (way.movesWords === true) return strips.length === 1 ? null : `${strips.length} were refused`
  // What Chat Completions brings back has no signature.
  if (way.api === 'Chat Completions' || way.dropsReasoning === true) {
    const thoughts = answersIn(lines.filter(hasReasoned))
    if (thoughts < ROUNDS) return `the model reasoned in ${thoughts} answers`
    return strips.length === 0 ? null : 'reasoning was refused'
  }
  const [first] = strips
  if (first === undefined) return 'no reasoning was sent back'
  const before = answersIn(lines.slice(0, first))
  return before < ROUNDS ? `reasoning was refused after ${before} answers` : null
}

const STRIPPED = 'reasoning of earlier answers left out'

/** A quota that is used up in the middle of a loop of tools ends it: nobody asks again, nor does the gateway. */
export const QUOTA: Trial = { name: 'quota', attempt: tryQuota }

async function tryQuota(session: Session): Promise<string | null> {
  const { way, place } = session
  const first = `use tools ${way.tools.write('before.txt', 'x')}`
  try {
    const { exitCode } = await session.run(way.ask(`${first} ${next('sim:quota')}`, place))
    if (!existsSync(join(place.project, 'before.txt'))) return 'the loop did not begin'
    const requests = session.logged().filter(({ event }) => event === 'request.completed')
    const refusals = requests.filter(({ code }) => code === EXHAUSTED)
    const refused = refusals.length
    // However slowly it starts, works and ends.
    const [firstAt = 0, lastAt = 0] = [refusals[0], refusals.at(-1)].map((line) =>
      Date.parse(String(line?.['time']))
    )
    const seconds = (lastAt - firstAt) / 1000
    const left = requests.filter(({ code }) => code === 'GW_CLIENT_CLOSED').length
    const calls = session.upstreamCalls() - answersIn(requests) - left
    const told = `${refused} requests and ${calls} calls were refused`
    if (exitCode === null) return `it did not end: ${told}`
    if (refused === 0 || refused > MOST_REFUSED || calls !== 1) return told
    session.note(refused === 1 ? '1 request' : `${refused} requests`)
    return seconds > REFUSAL_SECONDS ? `it took ${seconds.toFixed(1)} s to give up` : null
  } finally {
    await session.forgive()
  }
}

const EXHAUSTED = 'GW_UPSTREAM_QUOTA'

function hasReasoned({ reasoning_tokens: tokens }: LogLine): boolean {
  return Number(tokens) > 0
}

/** Requests that the upstream has answered. */
function answersIn(lines: readonly LogLine[]): number {
  return lines.filter(
    ({ msg, input_tokens: tokens }) => msg === 'request completed' && tokens !== undefined
  ).length
}

/** A PDF reaches the model as it is, by a tool of the client or with the prompt. */
export function sendsPdf(ask: Way['ask']): Trial {
  const attempt = async (session: Session): Promise<string | null> => {
    const place = { ...session.place, model: THINKING_MODEL }
    writeFileSync(join(place.project, PDF_NAME), smallPdf(['A page.']))
    const outcome = await session.run(ask('What does it say?', place), place)
    return failureOf(outcome) ?? missing(outcome, '"report" (pdf)')
  }
  return { name: 'PDF', attempt }
}

/** The same where the model calls a tool of the client for it. */
export function readsPdf(call: (path: string) => string): Trial {
  const attempt = async (session: Session): Promise<string | null> => {
    const { way, place } = session
    const path = join(place.project, PDF_NAME)
    writeFileSync(path, smallPdf(['A page.']))
    const outcome = await session.run(way.ask(`use tool ${call(path)}`, place))
    return failureOf(outcome) ?? missing(outcome, 'It received 1 document(s)')
  }
  return { name: 'PDF', attempt }
}
