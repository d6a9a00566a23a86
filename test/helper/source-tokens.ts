/**
 * A piece of TypeScript source as far as the layer rules care: comments and the insides of regular expressions are
 * gone, and what stands in a string cannot be mistaken for code.
 */
export interface Token {
  readonly kind: 'word' | 'string' | 'mark'
  /** A string's contents without its quotes, as written. */
  readonly text: string
}

/** Words after which a slash begins a regular expression and is no division. */
const wordsBeforeRegex = new Set(
  'return typeof case in of delete void throw new else do await yield instanceof'.split(' ')
)

/** Cuts a source into tokens. Code inside `${…}` of templates is cut as well. */
export function tokenize(source: string): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  while (at < source.length) at = readToken(source, at, tokens)
  return tokens
}

/** Reads what begins at `at` and returns where it ends. */
function readToken(source: string, at: number, tokens: Token[]): number {
  const rest = source.slice(at, at + 2)
  const char = rest[0] ?? ''
  if (rest === '//') return endOf(source, '\n', at)
  if (rest === '/*') return endOf(source, '*/', at + 2)
  if (/\s/.test(char)) return at + 1
  if (char === "'" || char === '"') return readString(source, at, tokens)
  if (char === '`') return readTemplate(source, at, tokens)
  if (char === '/' && mayBeginRegex(tokens.at(-1))) return endOfRegex(source, at)
  const word = /^[\p{ID_Continue}$#@]+/u.exec(source.slice(at, at + 200))
  const text = word === null ? char : word[0]
  tokens.push({ kind: word === null ? 'mark' : 'word', text })
  return at + text.length
}

function readString(source: string, at: number, tokens: Token[]): number {
  let end = at + 1
  while (end < source.length && source[end] !== source[at]) end += source[end] === '\\' ? 2 : 1
  tokens.push({ kind: 'string', text: source.slice(at + 1, end) })
  return end + 1
}

function readTemplate(source: string, at: number, tokens: Token[]): number {
  let end = at + 1
  let text = ''
  const inner: Token[] = []
  while (end < source.length && source[end] !== '`') {
    if (source.startsWith('${', end)) {
      end = readInterpolation(source, end + 2, inner)
    } else {
      const length = source[end] === '\\' ? 2 : 1
      text += source.slice(end, end + length)
      end += length
    }
  }
  tokens.push({ kind: 'string', text }, ...inner)
  return end + 1
}

/** Reads the code of `${…}` and returns the place after its closing brace. */
function readInterpolation(source: string, at: number, tokens: Token[]): number {
  let depth = 1
  let end = at
  while (end < source.length) {
    const char = source[end]
    if (char === '}' && depth === 1) return end + 1
    if (char === '{') depth += 1
    if (char === '}') depth -= 1
    end = readToken(source, end, tokens)
  }
  return end
}

function mayBeginRegex(before: Token | undefined): boolean {
  if (before === undefined) return true
  if (before.kind === 'word') return wordsBeforeRegex.has(before.text)
  return before.kind === 'mark' && !')]}'.includes(before.text)
}

function endOfRegex(source: string, at: number): number {
  let isInClass = false
  let end = at + 1
  while (end < source.length && source[end] !== '\n') {
    const char = source[end]
    if (char === '/' && !isInClass) return end + 1
    if (char === '[') isInClass = true
    if (char === ']') isInClass = false
    end += char === '\\' ? 2 : 1
  }
  return end
}

function endOf(source: string, mark: string, from: number): number {
  const at = source.indexOf(mark, from)
  return at === -1 ? source.length : at + mark.length
}
