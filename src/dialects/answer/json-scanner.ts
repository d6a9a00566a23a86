/** Deeper arguments count as broken: no client could send them back. */
export const MAX_DEPTH = 1024

const Next = {
  start: 0,
  end: 1,
  value: 2,
  firstValue: 3,
  firstName: 4,
  name: 5,
  colon: 6,
  comma: 7,
  string: 8,
  escape: 9,
  hex: 10,
  literal: 11,
  // States from here on are inside a number. A digit must follow `minus`, `point`, `exponent` and `exponentSign`.
  minus: 12,
  zero: 13,
  digits: 14,
  point: 15,
  fraction: 16,
  exponent: 17,
  exponentSign: 18,
  exponentDigits: 19
} as const

type State = (typeof Next)[keyof typeof Next]

/**
 * Follows the text of one JSON object that comes in pieces cut anywhere, as strictly as `JSON.parse`. Keeps neither text
 * nor values, only the nesting.
 *
 *   blank ──{──▶ open ──its }──▶ whole
 *     └────────────┴───────────────┴── anything else ──▶ broken
 */
export class JsonScanner {
  #progress: 'blank' | 'open' | 'whole' | 'broken' = 'blank'
  #next: State = Next.start
  /** Open containers, outermost first. Bounded by MAX_DEPTH. */
  readonly #isArray: boolean[] = []
  #isName = false
  #word = ''
  #read = 0

  get progress(): 'blank' | 'open' | 'whole' | 'broken' {
    return this.#progress
  }

  feed(text: string): void {
    for (let at = 0; at < text.length && this.#progress !== 'broken'; at++) {
      if (this.#next === Next.string) at = skipPlain(text, at)
      if (at < text.length && !this.#accept(text.charCodeAt(at))) this.#progress = 'broken'
    }
  }

  #accept(code: number): boolean {
    const next = this.#next
    if (next === Next.string) return this.#readString(code)
    if (next === Next.escape) return this.#readEscape(code)
    if (next === Next.hex) {
      if (++this.#read === 4) this.#next = Next.string
      return isHex(code)
    }
    if (next === Next.literal) {
      if (code !== this.#word.charCodeAt(this.#read)) return false
      if (++this.#read === this.#word.length) this.#next = Next.comma
      return true
    }
    if (next >= Next.minus) return this.#readNumber(code)
    return isBlank(code) || this.#readStructure(code)
  }

  #readStructure(code: number): boolean {
    const next = this.#next
    if (next === Next.comma) return this.#readComma(code)
    if (next === Next.value) return this.#openValue(code)
    if (next === Next.name) return this.#openName(code)
    if (next === Next.firstValue) {
      return code === Code.closeArray ? this.#close(true) : this.#openValue(code)
    }
    if (next === Next.firstName) {
      return code === Code.closeObject ? this.#close(false) : this.#openName(code)
    }
    if (next === Next.colon) {
      this.#next = Next.value
      return code === Code.colon
    }
    if (next !== Next.start) return false
    this.#progress = 'open'
    return code === Code.openObject && this.#open(false)
  }

  #readComma(code: number): boolean {
    if (code !== Code.comma) {
      return (
        (code === Code.closeArray || code === Code.closeObject) &&
        this.#close(code === Code.closeArray)
      )
    }
    this.#next = this.#isArray.at(-1) === true ? Next.value : Next.name
    return true
  }

  #openName(code: number): boolean {
    this.#isName = true
    this.#next = Next.string
    return code === Code.quote
  }

  #openValue(code: number): boolean {
    this.#isName = false
    this.#read = 1
    this.#word = Literals.get(code) ?? ''
    if (code === Code.openObject || code === Code.openArray)
      return this.#open(code === Code.openArray)
    if (code === Code.quote) this.#next = Next.string
    else if (code === Code.minus) this.#next = Next.minus
    else if (code === Code.zero) this.#next = Next.zero
    else if (isDigit(code)) this.#next = Next.digits
    else if (this.#word !== '') this.#next = Next.literal
    else return false
    return true
  }

  #open(isArray: boolean): boolean {
    this.#isArray.push(isArray)
    this.#next = isArray ? Next.firstValue : Next.firstName
    return this.#isArray.length <= MAX_DEPTH
  }

  #close(isArray: boolean): boolean {
    if (this.#isArray.pop() !== isArray) return false
    this.#next = this.#isArray.length === 0 ? Next.end : Next.comma
    if (this.#next === Next.end) this.#progress = 'whole'
    return true
  }

  #readString(code: number): boolean {
    if (code === Code.quote) this.#next = this.#isName ? Next.colon : Next.comma
    else if (code === Code.backslash) this.#next = Next.escape
    return code >= Code.space
  }

  #readEscape(code: number): boolean {
    this.#read = 0
    this.#next = code === Code.u ? Next.hex : Next.string
    return code === Code.u || Escapes.has(code)
  }

  #readNumber(code: number): boolean {
    const next = nextOfNumber(this.#next, code)
    if (next !== null) {
      this.#next = next
      return true
    }
    const isEnd = NumberEnds.has(this.#next)
    this.#next = Next.comma
    return isEnd && (isBlank(code) || this.#readComma(code))
  }
}

const Code = {
  space: 0x20,
  quote: 0x22,
  plus: 0x2b,
  comma: 0x2c,
  minus: 0x2d,
  point: 0x2e,
  zero: 0x30,
  colon: 0x3a,
  openArray: 0x5b,
  backslash: 0x5c,
  closeArray: 0x5d,
  u: 0x75,
  openObject: 0x7b,
  closeObject: 0x7d
} as const

const Literals: ReadonlyMap<number, string> = new Map(
  ['true', 'false', 'null'].map((word) => [word.charCodeAt(0), word])
)
const Escapes: ReadonlySet<number> = new Set(Array.from('"\\/bfnrt', (char) => char.charCodeAt(0)))
const NumberEnds: ReadonlySet<State> = new Set([
  Next.zero,
  Next.digits,
  Next.fraction,
  Next.exponentDigits
])

function nextOfNumber(state: State, code: number): State | null {
  if (isDigit(code)) {
    if (state === Next.minus) return code === Code.zero ? Next.zero : Next.digits
    if (state === Next.point) return Next.fraction
    if (state === Next.exponent || state === Next.exponentSign) return Next.exponentDigits
    return state === Next.zero ? null : state
  }
  const isInteger = state === Next.zero || state === Next.digits
  if (code === Code.point) return isInteger ? Next.point : null
  if ((code | 0x20) === 0x65) return isInteger || state === Next.fraction ? Next.exponent : null
  const isSign = code === Code.plus || code === Code.minus
  return isSign && state === Next.exponent ? Next.exponentSign : null
}

/** Skips plain text of a string; most of all arguments is skipped here. */
function skipPlain(text: string, at: number): number {
  for (let index = at; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === Code.quote || code === Code.backslash || code < Code.space) return index
  }
  return text.length
}

function isBlank(code: number): boolean {
  return code === Code.space || code === 0x0a || code === 0x0d || code === 0x09
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function isHex(code: number): boolean {
  const lower = code | 0x20
  return isDigit(code) || (lower >= 0x61 && lower <= 0x66)
}
