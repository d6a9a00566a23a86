import { createHash } from 'node:crypto'
import { setNewest } from '../shared/newest.ts'
import { FAULTS, type Refusal } from './refusal.ts'

interface ControlWord {
  readonly value: 'none' | 'number' | 'json'
  readonly meaning: string
}

/** In the last user text or the model name. A test compares `docs/simulator.md` with this table. */
export const CONTROL_WORDS = {
  say: json('The whole text of the answer, a JSON string.'),
  next: json(
    'What the next user turn, if it has no words of its own, is answered as if it had said.'
  ),
  events: number('Number of text events.'),
  size: number('Characters in each text event.'),
  thoughts: number('Number of reasoning events, each as long as `size` says, or 20 characters.'),
  gap: number('Milliseconds between events; 0 sends all in one write.'),
  first: number('Milliseconds between the headers and the first event.'),
  headers: number('Milliseconds before the status line and headers.'),
  trailer: number('Milliseconds between the content and what closes and meters it.'),
  chunk: number('Sends the body in pieces of so many bytes, cut anywhere.'),
  throttled: number('429 with so many seconds in `retry-after` (1 without a value).'),
  flaky: number('500 for the first so many attempts of the same prompt, then an answer.'),
  expired: flag('403 for the bearer that sends this prompt first, an answer for others.'),
  quota: flag('402, the monthly quota is used up.'),
  'quota-unnamed': flag('402 without a reason.'),
  weekly: flag('429, the weekly quota is used up.'),
  daily: flag('429, the daily quota is used up.'),
  hourly: flag('429, the hourly quota is used up.'),
  'usage-limit': flag('429, the usage limit is reached.'),
  overage: flag('402, the cap on paid overage is reached.'),
  'conversation-limit': flag('402, this conversation has had its share.'),
  'credit-rate': number('429, too many credits in an hour, with so many seconds in the body.'),
  'user-rate': number('429, too many requests of this user, with so many seconds to wait.'),
  'service-rate': flag('429, too many requests of all users.'),
  capacity: flag('429, the model has no capacity.'),
  suspicious: flag('429, suspicious activity.'),
  'not-admitted': flag('403, the subscription does not support this application.'),
  'bad-signature': flag('400 `THINKING_SIGNATURE_INVALID`.'),
  'invalid-body': flag('400 `REQUEST_BODY_INVALID`.'),
  suspended: flag('403, the account is suspended.'),
  overloaded: flag('500, unexpectedly high load.'),
  unavailable: flag('503.'),
  'context-overflow': flag('400, the input is too long.'),
  improper: flag('400 `Improperly formed request.`'),
  'invalid-model': flag('400 `INVALID_MODEL_ID`.'),
  html: flag('403 with an HTML page, as from a CDN.'),
  'throttled-frame': flag('200, and a ThrottlingException as the first frame.'),
  'exception-mid': flag('An InternalServerException frame after half of the text.'),
  'error-mid': flag('The same as a frame of message type `error`.'),
  stall: flag('Silence for ever after half of the text.'),
  'stall-first': flag('Headers, then silence for ever.'),
  'stall-headers': flag('Nothing for ever, not even a status line.'),
  reset: flag('TCP reset after half of the text.'),
  'reset-first': flag('TCP reset before the status line.'),
  fin: flag('The connection ends after half of the text, inside the chunked body.'),
  'cut-frame': flag('The body ends regularly, but in the middle of a frame.'),
  'no-end': flag('The body ends after the text, without stop reason, usage and metering.'),
  'truncated-tool': flag('The arguments of the last tool call are cut and never end.'),
  'token-usage': flag('The metadata event carries token counts, split over two frames.'),
  'max-tokens': flag('Stop reason MAX_TOKENS.'),
  'context-full': flag('Stop reason MODEL_CONTEXT_WINDOW_EXCEEDED.'),
  filtered: flag('Stop reason CONTENT_FILTERED.'),
  'close-after': flag('The answer says `connection: close`.')
} as const satisfies Record<string, ControlWord>

type Words = typeof CONTROL_WORDS
type WordOf<V extends ControlWord['value']> = {
  [K in keyof Words]: Words[K]['value'] extends V ? K : never
}[keyof Words]

export type NumberWord = WordOf<'number'>
export type FlagWord = WordOf<'none'>

export interface FoundWords {
  readonly flags: ReadonlySet<FlagWord>
  readonly numbers: Readonly<Partial<Record<NumberWord, number>>>
  readonly say: string | null
  readonly next: string | null
  /** Words that are not in the table, and their numbers: equipment may know them. */
  readonly others: ReadonlyMap<string, number>
}

const MAX_NUMBER = 100_000_000
/** Nothing inside the JSON string counts as a word. */
const JSON_WORD = /sim:(say|next)=("(?:[^"\\]|\\.)*")/g
const WORD = /sim:([a-z][a-z-]*)(?:=(\d+))?/g

export function findControlWords(text: string): FoundWords {
  const flags = new Set<FlagWord>()
  const numbers: Partial<Record<NumberWord, number>> = {}
  const others = new Map<string, number>()
  for (const [, name = '', value] of text.replace(JSON_WORD, ' ').matchAll(WORD)) {
    const count = Math.min(Number(value ?? 1), MAX_NUMBER)
    if (isWord(name, 'none')) flags.add(name)
    else if (isWord(name, 'number')) numbers[name] = count
    else others.set(name, count)
  }
  return { flags, numbers, say: findText(text, 'say'), next: findText(text, 'next'), others }
}

export function withoutControlWords(text: string): string {
  return text
    .replace(JSON_WORD, '')
    .replace(WORD, '')
    .replaceAll(/[^\S\n]{2,}/g, ' ')
    .trim()
}

function findText(text: string, name: WordOf<'json'>): string | null {
  const literal = [...text.matchAll(JSON_WORD)].find((match) => match[1] === name)?.[2]
  if (literal === undefined) return null
  try {
    const value: unknown = JSON.parse(literal)
    return typeof value === 'string' ? value : null
  } catch {
    return null // an unreadable value is ignored like an unknown word
  }
}

const WORDS_BY_NAME: Readonly<Record<string, ControlWord>> = CONTROL_WORDS

function isWord<V extends ControlWord['value']>(name: string, value: V): name is WordOf<V> {
  return Object.hasOwn(CONTROL_WORDS, name) && WORDS_BY_NAME[name]?.value === value
}

function flag(meaning: string) {
  return { value: 'none', meaning } as const
}

function number(meaning: string) {
  return { value: 'number', meaning } as const
}

function json(meaning: string) {
  return { value: 'json', meaning } as const
}

const REFUSING_WORDS = [
  ...(['quota', 'quota-unnamed', 'weekly', 'daily', 'hourly', 'usage-limit'] as const),
  ...(['overage', 'conversation-limit', 'service-rate', 'capacity', 'suspicious'] as const),
  ...(['not-admitted', 'bad-signature', 'invalid-body', 'suspended', 'overloaded'] as const),
  ...(['unavailable', 'context-overflow', 'improper', 'invalid-model', 'html'] as const)
]

/** `note` is called only if the answer depends on repetition. */
export function findFault(words: FoundWords, note: () => Repetition): Refusal | null {
  const { flags, numbers } = words
  const named = REFUSING_WORDS.find((word) => flags.has(word))
  if (named !== undefined) return FAULTS[named]
  if (numbers.throttled !== undefined)
    return { ...FAULTS.throttled, retryAfterS: numbers.throttled }
  const creditWaitS = numbers['credit-rate']
  if (creditWaitS !== undefined)
    return { ...FAULTS['credit-rate'], retryAfterMilliseconds: creditWaitS * 1000 }
  const userWaitS = numbers['user-rate']
  if (userWaitS !== undefined) return { ...FAULTS['user-rate'], retryAfterS: userWaitS }
  if (numbers.flaky === undefined && !flags.has('expired')) return null
  const { attempt, isFirstToken } = note()
  if (attempt <= (numbers.flaky ?? 0)) return FAULTS.flaky
  return flags.has('expired') && isFirstToken ? FAULTS.expired : null
}

/** `auto+sim:stall+sim:gap=5` is `auto` and its control words. */
export function splitModelName(name: string): {
  readonly modelId: string
  readonly words: string
} {
  const start = name.indexOf('sim:')
  if (start === -1) return { modelId: name, words: '' }
  const modelId = name.slice(0, start).replace(/[^A-Za-z0-9]+$/, '')
  return { modelId: modelId === '' ? 'auto' : modelId, words: name.slice(start) }
}

const MAX_PROMPTS = 1_000

interface Remembered {
  attempts: number
  readonly firstToken: string
}

/** `isFirstToken`: the token is the one that first sent the prompt. */
export interface Repetition {
  readonly attempt: number
  readonly isFirstToken: boolean
}

/** Remembers prompts: `sim:flaky` and `sim:expired` answer a repetition differently. */
export class PromptMemory {
  readonly #prompts = new Map<string, Remembered>()

  note(prompt: string, token: string): Repetition {
    const key = createHash('sha256').update(prompt).digest('base64')
    const remembered = this.#prompts.get(key) ?? { attempts: 0, firstToken: token }
    remembered.attempts++
    setNewest(this.#prompts, MAX_PROMPTS, key, remembered)
    return { attempt: remembered.attempts, isFirstToken: remembered.firstToken === token }
  }
}
