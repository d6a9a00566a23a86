import { getOwn, isJsonObject, type JsonObject } from '../../shared/json.ts'
import { type ModelFacts, versionOf, type ResolvedModel } from '../models/models.ts'
import type { Repairs } from '../rules/repairs.ts'
import type { Source } from '../wire/message.ts'

export interface ReasoningWish {
  readonly mode: 'on' | 'off' | 'unsaid'
  readonly effort?: Effort
  readonly budgetTokens?: number
  readonly source?: Source
  readonly display?: 'summarized' | 'omitted'
}

export interface ReasoningOptions {
  readonly wish: ReasoningWish
  readonly model: ResolvedModel
  readonly maxTokens: number | undefined
  readonly tags: {
    readonly isEnabled: boolean
    /** Tokens, if the client sets no budget. */
    readonly maxTokens: number
    /** Tokens, whatever the client sets. */
    readonly budgetCap: number
  }
  readonly repairs: Repairs
}

export interface ReasoningPlan {
  readonly source: 'none' | 'native' | 'tags'
  readonly fields?: Readonly<Record<string, unknown>>
  /** Tokens; only for tags. */
  readonly budgetTokens?: number
}

/** Tokens, for a model name that ends in `-thinking`. */
const SUFFIX_BUDGET = 20_000
const DEFAULT_MAX_TOKENS = 4096
/** Share of the answer's tokens (kiro-protocol §9.1). */
const TAG_SHARE: Readonly<Record<Effort, number>> = {
  minimal: 10,
  low: 20,
  medium: 50,
  high: 80,
  xhigh: 95,
  max: 95
}

/** Uses the model's own reasoning (§9.2), else tags in the text if the operator allows them (§9.1). */
export function planReasoning(options: ReasoningOptions): ReasoningPlan {
  const wish = withSuffix(options.wish, options.model)
  const form = nativeForm(options.model)
  const fields = { ...nativeFields(form, wish, options.repairs), ...maxTokensField(options) }
  const said = Object.keys(fields).length > 0 ? { fields } : {}
  if (wish.mode !== 'on') return { source: 'none', ...said }
  if (form.type !== 'none') return { source: 'native', ...said }
  if (!options.tags.isEnabled) return { source: 'none', ...said }
  return { source: 'tags', budgetTokens: tagBudget(wish, options), ...said }
}

export function hasOwnReasoning(model: ResolvedModel): boolean {
  return nativeForm(model).type !== 'none'
}

/** Treats a `-thinking` suffix as a field, unless a real field contradicts. */
function withSuffix(wish: ReasoningWish, model: ResolvedModel): ReasoningWish {
  if (!model.asksThinking || wish.mode !== 'unsaid') return wish
  return { budgetTokens: SUFFIX_BUDGET, ...wish, mode: 'on' }
}

function nativeFields(
  form: NativeForm,
  wish: ReasoningWish,
  repairs: Repairs
): Record<string, unknown> {
  const effort = chooseEffort(form, wish, repairs)
  if (form.type === 'claude') return claudeFields(form, wish, effort)
  if (form.type === 'none') return {}
  if (wish.mode === 'off') return form.takesNone ? { reasoning: { effort: 'none' } } : {}
  if (effort !== undefined) return { reasoning: { effort } }
  return wish.mode === 'on' ? { reasoning: { effort: 'medium' } } : {}
}

function claudeFields(
  form: ClaudeForm,
  { mode, display = 'summarized' }: ReasoningWish,
  wanted: Effort | undefined
): Record<string, unknown> {
  const isOff = mode === 'off'
  if (isOff && form.takesDisabled) return { thinking: { type: 'disabled' } }
  // A model that always thinks is told to think little, unless the client sets an effort.
  const effort = wanted ?? (isOff ? nearestEffort('low', form.efforts) : undefined)
  if (mode === 'unsaid' && effort === undefined) return {}
  const showsHow = mode === 'on' && form.displays.includes(display)
  return {
    // A model was seen that without this takes an effort for no reasoning at all.
    thinking: { type: 'adaptive', ...(showsHow && { display }) },
    ...(effort !== undefined && { output_config: { effort } })
  }
}

function chooseEffort(
  form: NativeForm,
  { effort, budgetTokens, source }: ReasoningWish,
  repairs: Repairs
): Effort | undefined {
  const wanted = effort ?? (budgetTokens === undefined ? undefined : effortOfBudget(budgetTokens))
  if (wanted === undefined || form.type === 'none') return undefined
  const nearest = nearestEffort(wanted, form.efforts)
  if (nearest !== effort && effort !== undefined) repairs.note('effort-clamped', source)
  return nearest
}

function effortOfBudget(tokens: number): Effort {
  if (tokens < 4000) return 'low'
  if (tokens < 16_000) return 'medium'
  return tokens < 32_000 ? 'high' : 'max'
}

/** The upstream refuses the member unless the model's schema lists it. */
function maxTokensField({ maxTokens, model }: ReasoningOptions): { max_tokens?: number } {
  const bounds = schemaAt(model.facts?.requestFieldsSchema, 'max_tokens')
  if (bounds === undefined || maxTokens === undefined) return {}
  const { minimum, maximum } = bounds
  const least = typeof minimum === 'number' ? minimum : 1
  const most = typeof maximum === 'number' ? maximum : Number.MAX_SAFE_INTEGER
  return { max_tokens: Math.min(Math.max(maxTokens, least), most) }
}

function tagBudget(wish: ReasoningWish, { maxTokens, tags }: ReasoningOptions): number {
  const share =
    wish.effort === undefined
      ? tags.maxTokens
      : ((maxTokens ?? DEFAULT_MAX_TOKENS) * TAG_SHARE[wish.effort]) / 100
  return Math.max(1, Math.min(Math.floor(wish.budgetTokens ?? share), tags.budgetCap))
}

/** The reasoning fields that a model takes (kiro-protocol §9.2). */
type NativeForm =
  | { readonly type: 'none' }
  | ClaudeForm
  | { readonly type: 'gpt'; readonly efforts: readonly Effort[]; readonly takesNone: boolean }

interface ClaudeForm {
  readonly type: 'claude'
  /** Empty if effort cannot be set. */
  readonly efforts: readonly Effort[]
  readonly displays: readonly string[]
  readonly takesDisabled: boolean
}

const WITH_XHIGH: readonly Effort[] = ['low', 'medium', 'high', 'xhigh', 'max']
const WITHOUT_XHIGH: readonly Effort[] = ['low', 'medium', 'high', 'max']

/** Fields of models without a schema, by family and first version, newest first. Ranks as in `versionOf()`. */
const FALLBACK: Readonly<Record<string, readonly (readonly [rank: number, NativeForm])[]>> = {
  'claude-opus': [
    [5005, alwaysThinks(WITH_XHIGH, ['summarized'])],
    [4007, claude(WITH_XHIGH, ['summarized'])],
    [4006, claude(WITHOUT_XHIGH, [])]
  ],
  'claude-sonnet': [
    [5005, alwaysThinks(WITH_XHIGH, ['summarized'])],
    [5000, claude(WITH_XHIGH, ['summarized'])],
    [4006, claude(WITHOUT_XHIGH, [])]
  ],
  'claude-fable': [
    [5001, alwaysThinks(WITH_XHIGH, ['summarized'])],
    [5000, claude(WITH_XHIGH, ['summarized'])]
  ],
  'claude-haiku': [[5005, alwaysThinks(WITH_XHIGH, ['summarized'])]],
  gpt: [[0, { type: 'gpt', efforts: WITH_XHIGH, takesNone: true }]]
}

function fallbackForm(id: string): NativeForm {
  const { family, rank } = versionOf(id) ?? { family: '', rank: 0 }
  const forms = Object.hasOwn(FALLBACK, family) ? FALLBACK[family] : undefined
  return forms?.find(([from]) => from <= rank)?.[1] ?? { type: 'none' }
}

function nativeForm({
  id,
  facts
}: Pick<ResolvedModel, 'id'> & { readonly facts?: ModelFacts }): NativeForm {
  const schema = facts?.requestFieldsSchema
  if (schema === undefined) return fallbackForm(id)
  const reasoning = schemaAt(schema, 'reasoning')
  if (reasoning !== undefined) {
    const words = enumOf(schemaAt(reasoning, 'effort')) ?? WITH_XHIGH
    return { type: 'gpt', efforts: words.filter(isEffort), takesNone: words.includes('none') }
  }
  const thinking = schemaAt(schema, 'thinking')
  const types = enumOf(schemaAt(thinking, 'type')) ?? ['adaptive']
  if (thinking === undefined || !types.includes('adaptive')) return { type: 'none' }
  const effort = schemaAt(schemaAt(schema, 'output_config'), 'effort')
  const display = schemaAt(thinking, 'display')
  return {
    type: 'claude',
    efforts: effort === undefined ? [] : (enumOf(effort) ?? EFFORTS).filter(isEffort),
    displays: display === undefined ? [] : (enumOf(display) ?? ['summarized', 'omitted']),
    takesDisabled: types.includes('disabled')
  }
}

function claude(efforts: readonly Effort[], displays: readonly string[]): ClaudeForm {
  return { type: 'claude', efforts, displays, takesDisabled: true }
}

function alwaysThinks(efforts: readonly Effort[], displays: readonly string[]): ClaudeForm {
  return { ...claude(efforts, displays), takesDisabled: false }
}

export function effortsOf(facts: ModelFacts): {
  readonly efforts: readonly Effort[]
  readonly thinks: boolean
  readonly alwaysThinks: boolean
} {
  const form = nativeForm({ id: facts.id, facts })
  if (form.type === 'none') return { efforts: [], thinks: false, alwaysThinks: false }
  const takesNone = form.type === 'claude' ? form.takesDisabled : form.takesNone
  return { efforts: form.efforts, thinks: true, alwaysThinks: !takesNone }
}

function schemaAt(schema: JsonObject | undefined, name: string): JsonObject | undefined {
  const properties = schema?.['properties']
  const member = isJsonObject(properties) ? getOwn(properties, name) : undefined
  return isJsonObject(member) ? member : undefined
}

function enumOf(schema: JsonObject | undefined): readonly string[] | undefined {
  const values = schema?.['enum']
  return Array.isArray(values) ? values.filter((value) => typeof value === 'string') : undefined
}

const EFFORTS = ['minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const

export type Effort = (typeof EFFORTS)[number]

export function isEffort(value: unknown): value is Effort {
  return EFFORTS.some((effort) => effort === value)
}

/** Picks the nearest allowed effort, the higher of two equally near (kiro-protocol §9.2). */
export function nearestEffort(wanted: Effort, allowed: readonly Effort[]): Effort | undefined {
  const distanceOf = (effort: Effort): number =>
    Math.abs(EFFORTS.indexOf(effort) - EFFORTS.indexOf(wanted))
  const highestFirst = EFFORTS.filter((effort) => allowed.includes(effort)).toReversed()
  return highestFirst.toSorted((a, b) => distanceOf(a) - distanceOf(b))[0]
}
