import { convertRequest } from '../../src/dialects/dialect.ts'
import { type GroupTokens, familyOf } from '../../src/kiro/tokens/request-tokens.ts'
import { TextCounter } from '../../src/kiro/tokens/text-counter.ts'
import { errorsOf } from '../../src/kiro/tokens/token-gauge.ts'
import { TokenGauges } from '../../src/kiro/tokens/token-gauge.ts'
import { viewRequest } from '../../src/simulator/request-view.ts'
import { seededRandom } from '../helper/seeded-random.ts'
import { simulatorOptions } from '../helper/request-options.ts'
import { type Kind, KINDS, type Random, requestOf } from './kinds.ts'
import { type TrueTokens, trueTokens } from './true-tokens.ts'

/** Families that count differently, each by one model or two. */
export const MODELS = [
  'claude-sonnet-4.6',
  'claude-opus-5',
  'claude-haiku-5.5',
  'gpt-5.6-luna',
  'kimi-k3'
] as const

/** Other seeds make other requests, and other answers to learn from. */
export const SEEDS = [28, 1, 2, 3] as const

export interface CountRow {
  readonly model: string
  readonly kind: Kind
  /**
   * Errors of 95 of 100 requests at most, as a share, with the seed that makes them worst: before anything is learnt,
   * and after 20 answers of all kinds.
   */
  readonly cold: number
  readonly learnt: number
  /** The same of the client's part alone, without the upstream's own prompt. */
  readonly ownLearnt: number
}

interface Sample {
  readonly groups: GroupTokens
  /** Tokens of the request, with the upstream's own prompt and without. */
  readonly all: number
  readonly own: number
}

interface TrialPlan {
  readonly answers?: number
  readonly requests?: number
}

interface TrialOptions extends TrialPlan {
  readonly models: readonly string[]
  readonly seeds?: readonly number[]
}

interface SeedPlan extends TrialPlan {
  readonly seed: number
}

/** Learns of each model from answers of all kinds in turn, and counts other requests of each kind. */
export function tryCounts({ models, seeds = SEEDS, ...plan }: TrialOptions): readonly CountRow[] {
  return models.flatMap((model) => {
    const trials = seeds.map((seed) => tryModel(model, { seed, ...plan }))
    return KINDS.map((kind, at) => {
      const worst = (figure: 'cold' | 'learnt' | 'ownLearnt'): number =>
        Math.max(...trials.map((rows) => rows[at]?.[figure] ?? Number.NaN))
      return {
        model,
        kind,
        cold: worst('cold'),
        learnt: worst('learnt'),
        ownLearnt: worst('ownLearnt')
      }
    })
  })
}

function tryModel(
  model: string,
  { seed, answers = 20, requests = 20 }: SeedPlan
): readonly Omit<CountRow, 'model'>[] {
  const [upstream, bare] = [trueTokens(), trueTokens(0)]
  const random = seededRandom(seed)
  const [cold, gauges] = [new TokenGauges(), new TokenGauges()]
  for (let answer = 0; answer < answers; answer++) {
    const kind = KINDS[answer % KINDS.length] ?? 'prose'
    learn(gauges, sampleOf(kind, { model, random, upstream, bare }), { model, random, upstream })
  }
  return KINDS.map((kind) => {
    const samples = Array.from({ length: requests }, () =>
      sampleOf(kind, { model, random, upstream, bare })
    )
    return {
      kind,
      cold: p95(samples.map((sample) => errorOf(cold, model, sample))),
      learnt: p95(samples.map((sample) => errorOf(gauges, model, sample))),
      ownLearnt: p95(samples.map((sample) => ownErrorOf(gauges, model, sample)))
    }
  })
}

interface Means {
  readonly model: string
  readonly random: Random
  readonly upstream: TrueTokens
}

function sampleOf(
  kind: Kind,
  { model, random, upstream, bare }: Means & { readonly bare: TrueTokens }
): Sample {
  const body = Buffer.from(JSON.stringify(requestOf(kind, model, random)))
  const { payload, plan } = convertRequest('anthropic-messages', body, simulatorOptions())
  const view = viewRequest(JSON.parse(Buffer.from(payload).toString()), 'path')
  return {
    groups: plan.groups,
    all: upstream.request(view, model),
    own: bare.request(view, model)
  }
}

const WINDOW = 1_000_000

/** What the upstream tells with an answer: a percentage with three decimals, after the answer. */
function learn(
  gauges: TokenGauges,
  { groups, all }: Sample,
  { model, random, upstream }: Means
): void {
  const said = 'The function reads the file and returns what is in it. '.repeat(
    Math.ceil(random() * 40)
  )
  const counter = new TextCounter(familyOf(model))
  counter.add(said)
  const percentage = Math.round(((all + upstream.text(model, said)) / WINDOW) * 1e5) / 1e3
  gauges.learn({
    model,
    groups: groups.map((tokens, at) => tokens + (counter.groups[at] ?? 0)),
    measured: Math.floor((percentage / 100) * WINDOW),
    within: 10
  })
}

/** Error of the whole count, as the gateway can measure it. */
function errorOf(gauges: TokenGauges, model: string, { groups, all }: Sample): number {
  const { input } = gauges.count(model, groups)
  return Math.abs(input + (gauges.get(model)?.factors.at(-1) ?? 2) * 1_000 - all) / all
}

function ownErrorOf(gauges: TokenGauges, model: string, { groups, own }: Sample): number {
  return Math.abs(gauges.count(model, groups).input - own) / own
}

function p95(errors: readonly number[]): number {
  return errorsOf({ errors })?.p95 ?? 0
}
