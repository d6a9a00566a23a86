const CONTEXT = 3
/** Beyond this, everything between is shown as replaced. */
const MAX_CELLS = 4_000_000

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

function compareMiddle(before: readonly string[], after: readonly string[]): readonly DiffLine[] {
  if (before.length * after.length > MAX_CELLS)
    return [...signed('-', before), ...signed('+', after)]
  const width = after.length + 1
  const lengths = new Uint32Array((before.length + 1) * width)
  const lengthAt = (i: number, j: number): number => lengths[i * width + j] ?? 0
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] =
        before[i] === after[j]
          ? lengthAt(i + 1, j + 1) + 1
          : Math.max(lengthAt(i + 1, j), lengthAt(i, j + 1))
    }
  }
  const lines: DiffLine[] = []
  let [i, j] = [0, 0]
  while (i < before.length || j < after.length) {
    const [old, young] = [before[i], after[j]]
    if (old !== undefined && old === young) {
      lines.push({ sign: ' ', text: old })
      i += 1
      j += 1
    } else if (old !== undefined && lengthAt(i + 1, j) >= lengthAt(i, j + 1)) {
      lines.push({ sign: '-', text: old })
      i += 1
    } else {
      lines.push({ sign: '+', text: young ?? '' })
      j += 1
    }
  }
  return lines
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
