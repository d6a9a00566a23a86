/** Tokens of the upstream and this gateway: keys, access and refresh tokens, JWTs, and whatever follows `Bearer`. */
const TOKEN = /\b[Bb]earer\s+[\w~+/.=:-]{16,}|\b(?:ksk_|kg[drtw]_|aoa|aor|eyJ)[\w~+/.=:-]{12,}/g
const TOKEN_REST = /^[\w~+/.=:-]*/
const ARN_ACCOUNT = /(?<=\barn:aws[\w-]*:codewhisperer:[a-z0-9-]{0,32}:)\d{12}(?=:)/g

const UNLIKE_IN_BYTES = /[^ -~]|["\\]/

/** Shorter secrets may be parts of words, so they are hidden only as whole words. */
const UNMISTAKABLE_CHARS = 8
/** Includes each byte of a character beyond ASCII. */
const WORD_CHAR = /[\w\x80-\xff]/
const JSON_LITERAL = /^(?:\d+|true|false|null)$/
/** No token is longer; of longer ones hiding the beginning makes them worthless. */
const MAX_SECRET_CHARS = 4096
/** Held back while the text continues: a secret may begin in them. */
const TAIL_BYTES = MAX_SECRET_CHARS

const CONTEXT_CHARS = 128

const SECRET_HEADER = /auth|cookie|token|secret|api-?key|credential|signature|password/i
/** Sound like secrets, but only name the kind of token. */
const OPEN_HEADERS: ReadonlySet<string> = new Set(['tokentype'])

/** Hides secrets in a text cut anywhere. Characters become `x`, account digits `0`: lengths and JSON stay intact. */
export class SecretMasker {
  readonly #secrets: () => readonly string[]
  #tail = ''
  /** Unmasked text before the tail: a token begins at a word, an account follows its ARN. */
  #before = ''
  #hits = 0
  #isInside = false

  constructor(secrets: () => readonly string[]) {
    this.#secrets = secrets
  }

  get hits(): number {
    return this.#hits
  }

  push(bytes: Uint8Array): Buffer {
    return this.#mask(this.#tail + latin1Of(bytes), TAIL_BYTES)
  }

  end(): Buffer {
    return this.#mask(this.#tail, 0)
  }

  #mask(rest: string, heldChars: number): Buffer {
    const start = this.#before.length
    const text = this.#before + rest
    const end = Math.max(start, text.length - heldChars)
    const insideChars = this.#isInside ? (TOKEN_REST.exec(rest)?.[0].length ?? 0) : 0
    let masked = this.#before + 'x'.repeat(insideChars) + rest.slice(insideChars)
    for (const secret of this.#secrets()) {
      if (secret === '') continue
      const isWord = secret.length < UNMISTAKABLE_CHARS
      for (const form of formsOf(secret)) {
        masked = isWord ? hideWord(masked, form) : masked.replaceAll(form, hideKnown)
      }
    }
    let tokenEnd = start + insideChars
    masked = masked.replace(TOKEN, (token, at: number) => {
      if (at < end) tokenEnd = Math.max(tokenEnd, at + token.length)
      return hide(token)
    })
    masked = masked.replace(ARN_ACCOUNT, '000000000000')
    this.#isInside = tokenEnd > end
    // The slice keeps a text that is little longer, until the next piece.
    this.#tail = text.slice(end)
    // As this slice does.
    this.#before = text.slice(Math.max(0, end - CONTEXT_CHARS), end)
    const told = masked.slice(start, end)
    if (told !== text.slice(start, end)) this.#hits++
    return Buffer.from(told, 'latin1')
  }
}

export function maskHeaders(
  headers: Readonly<Record<string, string | readonly string[] | number | undefined>>
): Record<string, string> {
  const masked: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue
    const text = Array.isArray(value) ? value.join(', ') : String(value)
    masked[name] = isSecretHeader(name) ? '[secret]' : text.slice(0, MAX_HEADER_CHARS)
  }
  return masked
}

const MAX_HEADER_CHARS = 1024

/** Secrets with which a client authenticates; each may also occur in its body. */
export function secretsOf(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>
): readonly string[] {
  const values = Object.entries(headers).flatMap(([name, value]) =>
    isSecretHeader(name) ? [value ?? []].flat() : []
  )
  return values.map((value) => value.replace(/^\S+\s+(?=\S+$)/, '').slice(0, MAX_SECRET_CHARS))
}

function isSecretHeader(name: string): boolean {
  return SECRET_HEADER.test(name) && !OPEN_HEADERS.has(name.toLowerCase())
}

/** Encodings of a secret in bytes and in JSON; one character is one byte. */
function formsOf(secret: string): readonly string[] {
  if (!UNLIKE_IN_BYTES.test(secret)) return [secret]
  const forms = [secret, JSON.stringify(secret).slice(1, -1)]
  return forms.map((form) => Buffer.from(form).toString('latin1'))
}

function hideWord(text: string, word: string): string {
  const isOpen = !WORD_CHAR.test(word.charAt(0))
  const isOpenBehind = !WORD_CHAR.test(word.charAt(word.length - 1))
  return text.replaceAll(word, (found, at: number) => {
    const isBegun = !isOpen && WORD_CHAR.test(text.charAt(at - 1))
    const goesOn = !isOpenBehind && WORD_CHAR.test(text.charAt(at + word.length))
    return isBegun || goesOn ? found : hideKnown(found)
  })
}

/** A number may stand wherever a JSON literal may. */
function hideKnown(secret: string): string {
  if (!JSON_LITERAL.test(secret)) return hide(secret)
  const hidden = `1${'0'.repeat(secret.length - 1)}`
  return hidden === secret ? '9'.repeat(secret.length) : hidden
}

function hide(secret: string): string {
  return 'x'.repeat(secret.length)
}

function latin1Of({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1')
}
