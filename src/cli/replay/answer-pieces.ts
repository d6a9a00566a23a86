export interface AnswerEvent {
  readonly name: string
  readonly data: string
}

/** Event around a piece of text, `''` if it has none. */
export interface Piece {
  readonly name: string
  readonly head: string
  readonly text: string
  readonly tail: string
}

const MESSAGE_END = '\n\n'
const LONGEST_FIELD = 'event:'

/** Messages of an event stream without heartbeats, which depend on the clock; anything else is one event. */
export function eventsOf(answer: string): readonly AnswerEvent[] {
  if (!isStream(answer)) return answer === '' ? [] : [{ name: 'body', data: answer }]
  return answer.split(MESSAGE_END).flatMap((message) => eventIn(message) ?? [])
}

/** Joins pieces of text, since their boundaries depend on timing. */
export function joinPieces(events: readonly AnswerEvent[]): readonly Piece[] {
  const joined: (Omit<Piece, 'text'> & { readonly texts: string[] })[] = []
  for (const event of events) {
    const { text, ...around } = pieceIn(event)
    const last = joined.at(-1)
    if (last !== undefined && goesOn(last, around)) last.texts.push(text)
    else joined.push({ ...around, texts: [text] })
  }
  return joined.map(({ texts, ...around }) => ({ ...around, text: texts.join('') }))
}

/** Tells when a growing answer has reached the end of another, incomplete one. */
export class Coverage {
  /** Joined pieces of the other answer, and characters of the last. */
  readonly #pieces: number
  readonly #chars: number
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  /** Length of the other answer if it is not a stream. */
  readonly #bodyChars: number
  #isStream: boolean | null = null
  #readChars = 0
  #rest: string[] = []
  #last: Omit<Piece, 'text'> | null = null
  #count = 0
  #lastChars = 0

  constructor(other: Buffer) {
    const text = other.toString()
    this.#bodyChars = isStream(text) ? Infinity : text.length
    const pieces = joinPieces(eventsOf(text))
    this.#pieces = pieces.length
    this.#chars = pieces.at(-1)?.text.length ?? 0
  }

  /** Takes time for these bytes only. */
  push(chunk: Uint8Array): boolean {
    const added = this.#utf8.decode(chunk, { stream: true })
    this.#readChars += added.length
    const text = (this.#rest.pop() ?? '') + added // a message may end between two chunks
    if (text.length >= LONGEST_FIELD.length) this.#isStream ??= isStream(text)
    if (this.#isStream === false) return this.#readChars >= this.#bodyChars
    const [first = '', ...others] = text.split(MESSAGE_END)
    const last = others.pop()
    if (last === undefined) this.#hold(first)
    else {
      for (const message of [this.#rest.join('') + first, ...others]) this.#add(message)
      this.#rest = []
      this.#hold(last)
    }
    const isAhead = this.#lastChars >= this.#chars
    return this.#count > this.#pieces || (this.#count === this.#pieces && isAhead)
  }

  #hold(text: string): void {
    const end = Math.max(0, text.length - LONGEST_FIELD.length)
    this.#rest.push(text.slice(0, end), text.slice(end))
  }

  #add(message: string): void {
    const event = eventIn(message)
    if (event === null) return
    const { text, ...around } = pieceIn(event)
    const isMore = this.#last !== null && goesOn(this.#last, around)
    this.#lastChars = isMore ? this.#lastChars + text.length : text.length
    if (isMore) return
    this.#last = around
    this.#count++
  }
}

function isStream(answer: string): boolean {
  return /^(?:event|data|id|retry)?:/.test(answer)
}

function eventIn(message: string): AnswerEvent | null {
  const lines = message.split('\n')
  const named = lines.find((line) => line.startsWith('event:'))
  const name = named?.slice(6).trim() ?? ''
  const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim())
  return data.length === 0 || name === 'ping' ? null : { name, data: data.join('\n') }
}

/** Prefix of a piece of text or reasoning, in each client API. */
const HEAD =
  /^.*?"delta":(?:\{(?:"role":"assistant",)?(?:"type":"\w+_delta",)?"(?:content|reasoning_content|text|thinking)":)?"/s
const ROLE = '"role":"assistant",'
const SEQUENCE = /"sequence_number":\d+/

function pieceIn({ name, data }: AnswerEvent): Piece {
  const plain = data.replace(SEQUENCE, '"sequence_number":0')
  const opening = HEAD.exec(plain)?.[0] ?? ''
  const end = opening === '' ? null : closingQuote(plain, opening.length)
  if (end === null) return { name, head: plain, text: '', tail: '' }
  const text = plain.slice(opening.length, end)
  return { name, head: opening, text, tail: plain.slice(end) }
}

/** Finds the end of a JSON string. A regular expression would need a stack as long as the text. */
function closingQuote(json: string, start: number): number | null {
  for (let at = start; at < json.length; at++) {
    if (json[at] === '"') return at
    if (json[at] === '\\') at++
  }
  return null
}

function goesOn(last: Omit<Piece, 'text'>, { name, head, tail }: Omit<Piece, 'text'>): boolean {
  return (
    tail !== '' && last.tail === tail && last.name === name && last.head.replace(ROLE, '') === head
  )
}
