import { effortsOf } from '../../kiro/conversation/reasoning.ts'
import {
  type ModelFacts,
  type PriceStep,
  priceStepOf,
  versionOf
} from '../../kiro/models/models.ts'

/** Required but unknown: the day the upstream's API was first seen. */
const CREATED_AT = new Date('2025-07-14T00:00:00Z')

export interface ListedModel {
  readonly id: string
  readonly name: string
  readonly ownedBy: string
  /** Missing for an alias without a model. */
  readonly facts?: ModelFacts | undefined
}

export interface ShapeOptions {
  readonly searches: boolean
  /** Claude Code knows windows and abilities of models by such names alone. */
  readonly hasDashes?: boolean
}

export function toOpenAiList(models: readonly ListedModel[]) {
  return { object: 'list', data: models.map((model) => toOpenAiModel(model)) }
}

/** OpenAI's list has no figures; clients of compatible servers look for them under these names. */
export function toOpenAiModel({ id, name, ownedBy, facts }: ListedModel) {
  const model = { id, object: 'model', created: CREATED_AT.getTime() / 1000, owned_by: ownedBy }
  if (facts === undefined) return model
  const { maxInputTokens, maxOutputTokens } = facts
  const { efforts } = effortsOf(facts)
  return {
    ...model,
    name,
    description: describe(facts),
    context_length: maxInputTokens,
    context_window: maxInputTokens,
    ...(maxOutputTokens !== undefined && { max_output_tokens: maxOutputTokens }),
    ...(facts.lifecycle !== undefined && { lifecycle: facts.lifecycle }),
    ...(efforts.length > 0 && { supported_reasoning_efforts: efforts })
  }
}

/** Shown to people in pickers. */
function describe(facts: ModelFacts): string {
  const { maxInputTokens, maxOutputTokens, id, lifecycle } = facts
  const { efforts, alwaysThinks } = effortsOf(facts)
  const step = priceStepOf(id)
  const words = [
    facts.description ?? '',
    `${inThousands(maxInputTokens)} tokens in${maxOutputTokens === undefined ? '' : `, ${inThousands(maxOutputTokens)} out`}`,
    efforts.length === 0 ? '' : `effort ${efforts.join(', ')}`,
    alwaysThinks ? 'always thinks' : '',
    step === null || step.aboveTokens >= maxInputTokens ? '' : wordStep(step),
    lifecycle ?? ''
  ]
  return words.filter((word) => word !== '').join(' · ')
}

function wordStep({ aboveTokens, factor }: PriceStep): string {
  const price = factor === 2 ? 'double' : `${factor} ×`
  return `${price} price above ${inThousands(aboveTokens)} tokens`
}

function inThousands(tokens: number): string {
  return tokens % 1_000_000 === 0 ? `${tokens / 1_000_000}M` : `${Math.round(tokens / 1000)}k`
}

export function toAnthropicList(models: readonly ListedModel[], options: ShapeOptions) {
  const named = options.hasDashes === true ? models.map(withDashes) : models
  const data = named.map((model) => toAnthropicModel(model, options))
  return {
    data,
    has_more: false,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null
  }
}

/** `claude-opus-4-6`, as the vendor writes it. Both names may be asked for. */
function withDashes(model: ListedModel): ListedModel {
  const [, before, minor] = /^(claude-[a-z]+-[0-9]+)\.([0-9]+)$/.exec(model.id) ?? []
  return before === undefined ? model : { ...model, id: `${before}-${minor}` }
}

/** Has every member that Anthropic's SDK expects; unknown ones are `null`. */
export function toAnthropicModel({ id, name, facts }: ListedModel, { searches }: ShapeOptions) {
  return {
    type: 'model',
    id,
    display_name: name,
    created_at: CREATED_AT.toISOString(),
    lifecycle: facts?.lifecycle ?? 'active',
    deprecated_at: null,
    retires_at: null,
    line: facts === undefined ? null : lineOf(facts),
    max_input_tokens: facts?.maxInputTokens ?? null,
    max_tokens: facts?.maxOutputTokens ?? null,
    capabilities: facts === undefined ? null : capabilitiesOf(facts, searches),
    ...(facts !== undefined && { description: describe(facts) })
  }
}

function lineOf({ id }: ModelFacts): string | null {
  const { family = '' } = versionOf(id) ?? {}
  return family.startsWith('claude-') ? family.slice('claude-'.length) : null
}

const NO = { supported: false }
const YES = { supported: true }

function capabilitiesOf(facts: ModelFacts, searches: boolean) {
  const { efforts, thinks, alwaysThinks } = effortsOf(facts)
  const takes = (effort: (typeof efforts)[number]) => ({ supported: efforts.includes(effort) })
  return {
    batch: NO,
    citations: NO,
    code_execution: NO,
    context_management: {
      ...YES,
      clear_thinking_20251015: YES,
      clear_tool_uses_20250919: YES,
      compact_20260112: NO
    },
    effort: {
      supported: efforts.length > 0,
      low: takes('low'),
      medium: takes('medium'),
      high: takes('high'),
      xhigh: takes('xhigh'),
      max: takes('max')
    },
    image_input: { supported: facts.takesImages },
    // A model without documents is sent their text.
    pdf_input: YES,
    server_tools: {
      supported: searches,
      code_execution: NO,
      web_search: { supported: searches }
    },
    structured_outputs: YES,
    thinking: {
      supported: thinks,
      types: {
        adaptive: { supported: thinks },
        between_tools: NO,
        disabled: { supported: thinks && !alwaysThinks },
        // A budget becomes the nearest effort.
        enabled: { supported: thinks }
      }
    }
  }
}
