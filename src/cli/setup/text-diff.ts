import { diff } from 'node:util'

const CONTEXT = 3
/** Beyond this, everything between is shown as replaced. */
const MAX_CELLS = 1_000_000

interface DiffLine {
  readonly sign: ' ' | '-' | '+'
  readonly text: string
}

export function textDiff(
  before: string,
  after: string,
  secrets: readonly string[]
): readonly string[] {
  const lines = compare(linesOf(before), linesOf(after))
  const changed = new Set(lines.flatMap(({ sign }, index) => (sign === ' ' ? [] : index)))
  const shown = lines.map((_, index) => isNear(index, changed))
  return lines.flatMap(({ sign, text }, index) => {
    if (shown[index] !== true) return []
    const gap = index > 0 && shown[index - 1] === false ? ['@@'] : []
    return [...gap, `${sign} ${maskSecrets(text, secrets)}`]
  })
}

function isNear(index: number, changed: ReadonlySet<number>): boolean {
  for (let near = index - CONTEXT; near <= index + CONTEXT; near += 1) {
    if (changed.has(near)) return true
  }
  return false
}

function linesOf(text: string): readonly string[] {
  const lines = text
    .replace(/^\ufeff/, '')
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines
}

function compare(before: readonly string[], after: readonly string[]): readonly DiffLine[] {
  const most = Math.min(before.length, after.length)
  let head = 0
  while (head < most && before[head] === after[head]) head += 1
  let tail = 0
  while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1
  return [
    ...signed(' ', before.slice(0, head)),
    ...compareMiddle(
      before.slice(head, before.length - tail),
      after.slice(head, after.length - tail)
    ),
    ...signed(' ', before.slice(before.length - tail))
  ]
}

const SIGNS = { '0': ' ', '1': '-', '-1': '+' } as const

function compareMiddle(before: readonly string[], after: readonly string[]): readonly DiffLine[] {
  const cells = before.length * after.length
  if (cells === 0 || cells > MAX_CELLS) return [...signed('-', before), ...signed('+', after)]
  return diff(before, after).map(([operation, text]) => ({ sign: SIGNS[operation], text }))
}

function signed(sign: DiffLine['sign'], lines: readonly string[]): readonly DiffLine[] {
  return lines.map((text) => ({ sign, text }))
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
