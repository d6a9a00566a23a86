interface ControlWord {
  /** What follows the word: nothing, `=` and a number, or `=` and a JSON string. */
  readonly value: 'none' | 'number' | 'json'
  readonly meaning: string
}

/**
 * Every word that makes the simulator do something special, written `sim:word` or `sim:word=value` in
 * the last user text or in the model name. `docs/simulator.md` is compared with this table by a test.
 */
export const CONTROL_WORDS = {
  say: word('json', 'The whole text of the answer, a JSON string.'),
  next: word(
    'json',
    'What the next user turn, if it has no words of its own, is answered as if it had said.'
  ),
  events: word('number', 'Number of text events.'),
  size: word('number', 'Characters in each text event.'),
  thoughts: word(
    'number',
    'Number of reasoning events, each as long as `size` says, or 20 characters.'
  ),
  arguments: word(
    'number',
    'Characters that the last text among the arguments of every call is filled up to.'
  ),
  piece: word('number', 'Characters in each fragment of arguments.'),
  gap: word('number', 'Milliseconds between events; 0 sends all in one write.'),
  first: word('number', 'Milliseconds between the headers and the first event.'),
  headers: word('number', 'Milliseconds before the status line and headers.'),
  chunk: word('number', 'Sends the body in pieces of so many bytes, cut anywhere.'),
  throttled: word('number', '429 with so many seconds in `retry-after` (1 without a value).'),
  flaky: word('number', '500 for the first so many attempts of the same prompt, then an answer.'),
  expired: word('none', '403 for the bearer that sends this prompt first, an answer for others.'),
  quota: word('none', '402, the monthly quota is used up.'),
  suspended: word('none', '403, the account is suspended.'),
  overloaded: word('none', '500, unexpectedly high load.'),
  unavailable: word('none', '503.'),
  'context-overflow': word('none', '400, the input is too long.'),
  improper: word('none', '400 `Improperly formed request.`'),
  'invalid-model': word('none', '400 `INVALID_MODEL_ID`.'),
  html: word('none', '403 with an HTML page, as from a CDN.'),
  'throttled-frame': word('none', '200, and a ThrottlingException as the first frame.'),
  'exception-mid': word('none', 'An InternalServerException frame after half of the text.'),
  'error-mid': word('none', 'The same as a frame of message type `error`.'),
  stall: word('none', 'Silence for ever after half of the text.'),
  'stall-first': word('none', 'Headers, then silence for ever.'),
  'stall-headers': word('none', 'Nothing for ever, not even a status line.'),
  reset: word('none', 'TCP reset after half of the text.'),
  'reset-first': word('none', 'TCP reset before the status line.'),
  fin: word('none', 'The connection ends after half of the text, inside the chunked body.'),
  corrupt: word('none', 'A frame with a wrong checksum after half of the text.'),
  'cut-frame': word('none', 'The body ends regularly, but in the middle of a frame.'),
  'no-end': word('none', 'The body ends after the text, without stop reason, usage and metering.'),
  'truncated-tool': word('none', 'The arguments of the last tool call are cut and never end.'),
  'ghost-tool': word('none', 'Every finished tool call is announced again without arguments.'),
  'tool-object': word('none', 'Arguments arrive as one object instead of JSON fragments.'),
  'tool-no-stop': word('none', 'Tool calls are never marked as finished.'),
  'unknown-event': word('none', 'Unknown events, headers and members between the known ones.'),
  wrapped: word('none', 'Payloads are wrapped in the name of their event.'),
  'token-usage': word('none', 'The metadata event carries token counts, split over two frames.'),
  'max-tokens': word('none', 'Stop reason MAX_TOKENS.'),
  'context-full': word('none', 'Stop reason MODEL_CONTEXT_WINDOW_EXCEEDED.'),
  filtered: word('none', 'Stop reason CONTENT_FILTERED.'),
  'close-after': word('none', 'The answer says `connection: close`.')
} as const satisfies Record<string, ControlWord>

type Words = typeof CONTROL_WORDS
type WordOf<V extends ControlWord['value']> = {
  [K in keyof Words]: Words[K]['value'] extends V ? K : never
}[keyof Words]

export type NumberWord = WordOf<'number'>
export type FlagWord = WordOf<'none'>

/** The words found in one request. Unknown words and unreadable values are left out. */
export interface FoundWords {
  readonly flags: ReadonlySet<FlagWord>
  readonly numbers: Readonly<Partial<Record<NumberWord, number>>>
  readonly say: string | null
  /** What the next turn counts as. */
  readonly next: string | null
}

/** Larger values would only be typing errors. */
const MAX_NUMBER = 100_000_000
/** Words with a JSON string; nothing inside it counts as a word of this text. */
const JSON_WORD = /sim:(say|next)=("(?:[^"\\]|\\.)*")/g
const WORD = /sim:([a-z][a-z-]*)(?:=(\d+))?/g

/** Finds control words anywhere in `text`; those inside the value of another do not count. */
export function findControlWords(text: string): FoundWords {
  const flags = new Set<FlagWord>()
  const numbers: Partial<Record<NumberWord, number>> = {}
  for (const [, name = '', value] of text.replace(JSON_WORD, ' ').matchAll(WORD)) {
    if (isWord(name, 'none')) flags.add(name)
    else if (isWord(name, 'number')) numbers[name] = Math.min(Number(value ?? 1), MAX_NUMBER)
  }
  return { flags, numbers, say: findText(text, 'say'), next: findText(text, 'next') }
}

/** `text` without its control words, as a person would read it. */
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

/** The table for looking up names that may not be in it. */
const WORDS_BY_NAME: Readonly<Record<string, ControlWord>> = CONTROL_WORDS

function isWord<V extends ControlWord['value']>(name: string, value: V): name is WordOf<V> {
  return Object.hasOwn(CONTROL_WORDS, name) && WORDS_BY_NAME[name]?.value === value
}

function word<V extends ControlWord['value']>(value: V, meaning: string) {
  return { value, meaning }
}
