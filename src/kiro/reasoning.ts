import type { ResolvedModel } from './model-resolution.ts'
import { nativeForm, type ClaudeForm, type NativeForm } from './reasoning-form.ts'
import type { Source } from './message.ts'
import { nearestEffort, type Effort } from './effort.ts'
import type { Repairs } from './repairs.ts'

/** What a client says about reasoning. */
export interface ReasoningWish {
  readonly mode: 'on' | 'off' | 'unsaid'
  readonly effort?: Effort
  readonly budgetTokens?: number
  /** Of the effort. */
  readonly source?: Source
  /** Whether the reasoning's text comes with the answer. */
  readonly display?: 'summarized' | 'omitted'
}

/** Settings for reasoning by tags. */
export interface TagReasoningOptions {
  readonly isEnabled: boolean
  readonly maxTokens: number
  readonly budgetCap: number
}

export interface ReasoningOptions {
  readonly wish: ReasoningWish
  readonly model: ResolvedModel
  /** The client's bound for the answer, if it gave one. */
  readonly maxTokens: number | undefined
  readonly tags: TagReasoningOptions
  readonly repairs: Repairs
}

/** How one request reasons, in the upstream's terms. */
export interface ReasoningPlan {
  readonly source: 'none' | 'native' | 'tags'
  /** `additionalModelRequestFields`; absent when there is nothing to say. */
  readonly fields?: Readonly<Record<string, unknown>>
  /** Tokens; only for tags. */
  readonly budgetTokens?: number
}

/** Budget in tokens for a model whose name ends in `-thinking`. */
const SUFFIX_BUDGET = 20_000
/** What a share of the answer is taken of where the client names no bound. */
const DEFAULT_MAX_TOKENS = 4096
/** Percent of the answer's tokens (kiro-protocol §9.1). */
const TAG_SHARE: Readonly<Record<Effort, number>> = {
  minimal: 10,
  low: 20,
  medium: 50,
  high: 80,
  xhigh: 95,
  max: 95
}

/**
 * Decides where reasoning comes from: the model's own, if it has any (§9.2), else tags in the text, if
 * the operator allows them (§9.1). Only who asks gets reasoning.
 */
export function planReasoning(options: ReasoningOptions): ReasoningPlan {
  const wish = withSuffix(options.wish, options.model)
  const form = nativeForm(options.model)
  const fields = { ...nativeFields(form, wish, options.repairs), ...maxTokensField(form, options) }
  const said = Object.keys(fields).length > 0 ? { fields } : {}
  if (wish.mode !== 'on') return { source: 'none', ...said }
  if (form.type !== 'none') return { source: 'native', ...said }
  if (!options.tags.isEnabled) return { source: 'none', ...said }
  return { source: 'tags', budgetTokens: tagBudget(wish, options), ...said }
}

/** `-thinking` in the model's name asks like a field would, unless a field says otherwise. */
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
  effort: Effort | undefined
): Record<string, unknown> {
  if (mode === 'off') return form.takesDisabled ? { thinking: { type: 'disabled' } } : {}
  return {
    ...(mode === 'on' && {
      thinking: { type: 'adaptive', ...(form.displays.includes(display) && { display }) }
    }),
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

/** Only where the model's own schema lists it: an undeclared member is refused. */
function maxTokensField(
  form: NativeForm,
  { maxTokens }: ReasoningOptions
): { max_tokens?: number } {
  const bounds = form.maxTokens
  if (bounds === undefined || maxTokens === undefined) return {}
  return { max_tokens: Math.min(Math.max(maxTokens, bounds.least), bounds.most) }
}

function tagBudget(wish: ReasoningWish, { maxTokens, tags }: ReasoningOptions): number {
  const share =
    wish.effort === undefined
      ? tags.maxTokens
      : ((maxTokens ?? DEFAULT_MAX_TOKENS) * TAG_SHARE[wish.effort]) / 100
  return Math.max(1, Math.min(Math.floor(wish.budgetTokens ?? share), tags.budgetCap))
}
