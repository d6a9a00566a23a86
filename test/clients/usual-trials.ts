import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { next } from '../helper/simulated-words.ts'
import type { Way } from './client.ts'
import { hasText, hiddenString, secretWord } from './hidden-words.ts'
import type { Outcome } from './run-command.ts'
import type { Session, Trial } from './trial.ts'

/** Characters that are lost first: quotes, escapes, several bytes, an end of line inside. */
const HARD_TEXT = `{"a":["\\d", 'b', \`c\`]} ü 漢字 🙂 $HOME %s <b> & \\n`
/** Longest time from the refusal until a client has told its user that the key is wrong, however slowly it starts. */
const REFUSAL_SECONDS = 45

/** What every client has to do. */
export const USUAL_TRIALS: readonly Trial[] = [
  { name: 'prompt', attempt: tryPrompt },
  toolLoopBy('tool loop', null),
  { name: 'resume', attempt: tryResume },
  { name: 'wrong key', attempt: tryWrongKey }
]

/** A long answer arrives from its first word to its last. */
async function tryPrompt(session: Session): Promise<string | null> {
  const { way, place } = session
  const [first, last] = [secretWord(), secretWord()]
  const lines = Array.from({ length: 60 }, (_, i) => `Line ${i + 1} says ü 漢字 🙂 and goes on.`)
  const text = [first, ...lines, last].join(' ')
  const outcome = await session.run(
    way.ask(`Say something. sim:gap=1 sim:say=${hiddenString(text)}`, place)
  )
  return failureOf(outcome) ?? missing(outcome, text)
}

/** Two files are written by calls in one turn, a third is read in the next, and what it says comes back. */
export function toolLoopBy(name: string, ask: Way['ask'] | null): Trial {
  return { name, attempt: (session) => tryToolLoop(session, ask ?? session.way.ask) }
}

async function tryToolLoop(session: Session, ask: Way['ask']): Promise<string | null> {
  const { way, place } = session
  const { write, read } = way.tools
  const secret = secretWord()
  const texts = [`${secretWord()} ${HARD_TEXT}`, secretWord()] as const
  writeFileSync(join(place.project, 'secret.txt'), `${secret}\n`)
  const calls = [write('first.txt', texts[0]), write('second.txt', texts[1])]
  const turns = way.takesSingleCalls ? calls : [calls.join(' and ')]
  const outcome = await session.run(ask(inTurns([...turns, read('secret.txt')]), place))
  const failure = failureOf(outcome)
  if (failure !== null) return failure
  for (const [index, name] of ['first.txt', 'second.txt'].entries()) {
    const found = textOf(join(place.project, name))
    if (found?.trimEnd() !== texts[index]) return `${name} has ${JSON.stringify(found)}`
  }
  return missing(outcome, secret)
}

/** The second question is answered by what was said in the first. */
async function tryResume(session: Session): Promise<string | null> {
  const { way, place } = session
  if (way.resume === undefined) return null
  const [before, after] = [secretWord(), secretWord()]
  const then = next(`sim:say=${hiddenString(after)}`)
  const first = await session.run(way.ask(`Begin. sim:say=${hiddenString(before)} ${then}`, place))
  const failure = failureOf(first) ?? missing(first, before)
  if (failure !== null) return `first question: ${failure}`
  const second = await session.run(way.resume('And what comes next?', place))
  return failureOf(second) ?? missing(second, after)
}

/** A wrong key is told at once, not after minutes of retries. */
async function tryWrongKey(session: Session): Promise<string | null> {
  const { way, place } = session
  const wrong = { ...place, key: 'a-wrong-key' }
  const outcome = await session.run(way.ask('Say something.', wrong), wrong)
  if (outcome.exitCode === null) return 'it did not end'
  if (hasText(outcome.stdout, 'built-in simulator')) return 'it was answered'
  const refused = session.logged().find(({ code }) => code === 'GW_KEY_INVALID')
  const askedAt = refused === undefined ? 0 : Date.parse(String(refused['time']))
  const seconds = Math.min(outcome.seconds, (Date.now() - askedAt) / 1000)
  return seconds > REFUSAL_SECONDS ? `it took ${seconds.toFixed(1)} s to give up` : null
}

/** What is wrong with how a client ended. */
export function failureOf({ exitCode, seconds }: Outcome): string | null {
  if (exitCode === 0) return null
  return exitCode === null ? `ended after ${seconds.toFixed(0)} s` : `exit code ${exitCode}`
}

/** Complains if the answer lacks `text`. */
export function missing({ stdout }: Outcome, text: string): string | null {
  if (hasText(stdout, text)) return null
  return `the answer lacks ${JSON.stringify(text.slice(0, 60))}: ${JSON.stringify(stdout.slice(-300))}`
}

/** A prompt that makes the model call these tools, one turn after the other, and answer `last` in the end. */
export function inTurns([first = '', ...rest]: readonly string[], last?: string): string {
  const prompt = `use tools ${first}`
  const then = rest.length === 0 ? last : inTurns(rest, last)
  return then === undefined ? prompt : `${prompt} ${next(then)}`
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}
