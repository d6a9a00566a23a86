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
  return clean.length <= maxLength ? clean : `${clean.slice(0, maxLength - 1)}…`
}

/** Tool names are long too, and clients need to read them. */
function looksRandom(run: string): boolean {
  return /\d/.test(run) && /[a-z]/.test(run) && /[A-Z]/.test(run)
}
