/** Tokens as this upstream issues them: keys, access and refresh tokens, JWTs, and whatever follows `Bearer`. */
const TOKEN = /\bbearer\s+[\w~+/.=:-]{16,}|\b(?:ksk_|aoa|aor|eyJ)[\w~+/.=:-]{12,}/gi
/** Longer than a UUID or any part of an ARN. */
const LONG_RUN = /[\w+=-]{40,}/g

/**
 * Foreign text made fit for logs and clients: secrets out, one line, at most `maxLength` characters.
 * `secrets` are values that the caller knows to be secret, whatever they look like.
 */
export function redactText(
  text: string,
  maxLength: number,
  secrets: readonly string[] = []
): string {
  let clean = text.slice(0, maxLength * 4) // the text may be a megabyte
  for (const secret of secrets) {
    if (secret !== '') clean = clean.replaceAll(secret, '[secret]')
  }
  clean = clean
    .replace(TOKEN, '[secret]')
    .replace(LONG_RUN, (run) => (looksRandom(run) ? '[secret]' : run))
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  return cut(clean, maxLength)
}

/** The beginning of a text, at most `maxLength` characters. */
export function cut(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`
}

/** A longer passage in quotation marks is somebody's text; names of tools and models have at most so many characters. */
const MAX_QUOTED_CHARS = 64

/** As AWS words it: the value is the client's, whatever its length, and may itself hold quotation marks. */
const REFUSED_VALUE = /\b(value) '(.*)' at '([\w.[\]-]{1,200})'/gis

/** An apostrophe inside a word is no quotation mark. */
const OPENING = /["`“„‘]|(?<![\p{L}\p{N}])'/u
const CLOSING: Readonly<Record<string, RegExp>> = {
  '"': /.*"/s,
  '`': /.*`/s,
  '“': /.*[”“]/s,
  '„': /.*[”“]/s,
  '‘': /.*’(?![\p{L}\p{N}])/su,
  "'": /.*'(?![\p{L}\p{N}])/su
}

/**
 * Leaves out what a message quotes, so that it repeats nothing of a conversation: the upstream explains some refusals by
 * the text that it refuses. A passage goes from the first quotation mark to the last of its kind, since the text may
 * hold others, and to the end of a message that was cut off.
 */
export function withoutQuotations(text: string): string {
  let rest = text.replace(
    REFUSED_VALUE,
    (_all, word: string, value: string, path: string) => `${word} ${lengthOf(value)} at ${path}`
  )
  let shown = ''
  for (let open = OPENING.exec(rest); open !== null; open = OPENING.exec(rest)) {
    const from = open.index + 1
    const isCut = rest.endsWith('…')
    const closed = isCut ? null : (CLOSING[open[0]]?.exec(rest.slice(from))?.[0] ?? null)
    const to = closed === null ? rest.length : from + closed.length
    const quoted = closed === null ? rest.slice(from) : closed.slice(0, -1)
    const isName = quoted.length <= MAX_QUOTED_CHARS
    shown += isName ? rest.slice(0, to) : rest.slice(0, open.index) + lengthOf(quoted)
    rest = rest.slice(to)
  }
  return shown + rest
}

function lengthOf(text: string): string {
  return `‹${text.length} characters›`
}

/** Tool names are long too, and clients need to read them. */
function looksRandom(run: string): boolean {
  return /\d/.test(run) && /[a-z]/.test(run) && /[A-Z]/.test(run)
}
