import { AUTO_MODEL, findModel, type ModelFacts } from './models.ts'

const FAMILIES = ['sonnet', 'opus', 'haiku', 'fable'] as const

const TIERS = ['terra', 'sol', 'luna'] as const

const TIER_WORDS: readonly (readonly [RegExp, (typeof TIERS)[number]])[] = [
  [/-terra\b/, 'terra'],
  [/-sol\b/, 'sol'],
  [/-luna\b/, 'luna'],
  [/-(?:mini|nano)\b/, 'luna'],
  [/-pro\b/, 'sol']
]

/** First version whose name without a tier is OpenAI's alias for its largest model. */
const FIRST_TIERED = [5, 6] as const

/** Picks Claude's newest of the family, or GPT's newest of the nearest tier; `undefined` for other vendors. */
export function findSubstitute(id: string, models: readonly ModelFacts[]): ModelFacts | undefined {
  const lines = linesFor(id.toLowerCase())
  if (lines.length === 0) return undefined
  for (const line of lines) {
    const newest = newestOf(line, models)
    if (newest !== undefined) return newest
  }
  return findModel(models, AUTO_MODEL)
}

function linesFor(name: string): readonly RegExp[] {
  if (name.startsWith('claude')) {
    const own = FAMILIES.filter((family) => name.includes(family))
    return [...own, ...FAMILIES].map(
      (family) => new RegExp(`^claude-${family}-(\\d+)(?:\\.(\\d+))?$`)
    )
  }
  if (!name.startsWith('gpt-')) return []
  return [tierOf(name), ...TIERS].map((tier) => new RegExp(`^gpt-(\\d+)(?:\\.(\\d+))?-${tier}$`))
}

function tierOf(name: string): (typeof TIERS)[number] {
  const worded = TIER_WORDS.find(([word]) => word.test(name))
  if (worded !== undefined) return worded[1]
  const [, major, minor = '0'] = /^gpt-(\d+)(?:[.-](\d{1,2}))?(?![\d])/.exec(name) ?? []
  const isTiered = rank(Number(major), Number(minor)) >= rank(...FIRST_TIERED)
  return isTiered ? 'sol' : 'terra'
}

function newestOf(line: RegExp, models: readonly ModelFacts[]): ModelFacts | undefined {
  const versions = models.flatMap((facts) => {
    const match = line.exec(facts.id)
    return match === null || facts.lifecycle === 'retired'
      ? []
      : { facts, version: rank(Number(match[1]), Number(match[2] ?? 0)) }
  })
  return versions.toSorted((a, b) => b.version - a.version)[0]?.facts
}

function rank(major: number, minor: number): number {
  return major * 1000 + minor
}
