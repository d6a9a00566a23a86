import { structuredPatch } from 'diff'

const CONTEXT = 3
/** Longer differences are shown as one replacement. */
const MAX_CHANGED_LINES = 1_000

export function textDiff(
  before: string,
  after: string,
  secrets: readonly string[]
): readonly string[] {
  const [was, is] = [plain(before), plain(after)]
  const options = { context: CONTEXT, maxEditLength: MAX_CHANGED_LINES }
  const patch = structuredPatch('', '', was, is, '', '', options)
  const shown = (line: string): string =>
    `${line.slice(0, 1)} ${maskSecrets(line.slice(1), secrets)}`
  if (patch === undefined) {
    const [gone, come] = [was, is].map((text) => (text === '' ? [] : text.trimEnd().split('\n')))
    return [
      ...(gone ?? []).map((line) => shown(`-${line}`)),
      ...(come ?? []).map((line) => shown(`+${line}`))
    ]
  }
  return patch.hunks.flatMap(({ oldStart, lines }) => [
    ...(oldStart > 1 ? ['@@'] : []),
    ...lines.filter((line) => !line.startsWith('\\')).map(shown)
  ])
}

/** Without what only programs see: byte order mark, line breaks of other systems, and a missing one at the end. */
function plain(text: string): string {
  const unix = text.replace(/^\ufeff/, '').replaceAll('\r\n', '\n')
  return unix === '' || unix.endsWith('\n') ? unix : `${unix}\n`
}

const MASK = '***'
/** Members with secret names. `env_key` holds the name of a variable. */
const SECRET_MEMBER =
  /(?<![\w-])((?!env_?key\b)[\w-]*(?:key|token|secret|password|passwd|authorization|credentials?)["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,}#]+)/gi
const SECRET_SHAPE = /\b(?:sk|ksk|pk|ghp|gho|xox[abps]|AIza|AKIA|eyJ)[-_]?[A-Za-z0-9._-]{16,}/g

/** Masks known secrets, secret members and anything that looks like a key. */
export function maskSecrets(line: string, secrets: readonly string[]): string {
  const masked = secrets
    .filter((secret) => secret !== '')
    .reduce((text, secret) => text.replaceAll(secret, MASK), line)
  return masked
    .replaceAll(SECRET_MEMBER, (_, name: string, value: string) => name + maskValue(value))
    .replaceAll(SECRET_SHAPE, MASK)
    .replaceAll(/(?<=:\/\/)[^\s/@"']+(?=@)/g, MASK)
}

/** Numbers and references to variables are not secret. */
function maskValue(value: string): string {
  const inner = value.replaceAll(/^["']|["']$/g, '')
  if (/^(?:\d+|true|false|null|\$\w+|\$?\{.*\}|)$/.test(inner)) return value
  const quote = /^["']/.exec(value)?.[0] ?? ''
  return quote + MASK + quote
}
