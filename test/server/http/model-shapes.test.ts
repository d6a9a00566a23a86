import type Anthropic from '@anthropic-ai/sdk'
import type OpenAI from 'openai'
import t from 'tap'
import { BUILT_IN_MODELS, findModel, type ModelFacts } from '../../../src/kiro/models/models.ts'
import {
  type ListedModel,
  toAnthropicList,
  toOpenAiList
} from '../../../src/server/http/model-shapes.ts'
import { type DueMembers, missingIn } from '../../helper/due-members.ts'

type Capabilities = Anthropic.ModelCapabilities

const MODEL: DueMembers<Anthropic.ModelInfo> = {
  id: true,
  capabilities: true,
  created_at: true,
  deprecated_at: true,
  display_name: true,
  lifecycle: true,
  line: true,
  max_input_tokens: true,
  max_tokens: true,
  retires_at: true,
  type: true
}
const CAPABILITIES: DueMembers<Capabilities> = {
  batch: true,
  citations: true,
  code_execution: true,
  context_management: true,
  effort: true,
  image_input: true,
  pdf_input: true,
  server_tools: true,
  structured_outputs: true,
  thinking: true
}
const SUPPORT: DueMembers<Anthropic.CapabilitySupport> = { supported: true }
const NESTED: {
  readonly effort: DueMembers<Capabilities['effort']>
  readonly context_management: DueMembers<Capabilities['context_management']>
  readonly server_tools: DueMembers<Capabilities['server_tools']>
  readonly thinking: DueMembers<Capabilities['thinking']>
} = {
  effort: { ...SUPPORT, high: true, low: true, max: true, medium: true, xhigh: true },
  context_management: {
    ...SUPPORT,
    clear_thinking_20251015: true,
    clear_tool_uses_20250919: true,
    compact_20260112: true
  },
  server_tools: { ...SUPPORT, code_execution: true, web_search: true },
  thinking: { ...SUPPORT, types: true }
}
const TYPES: DueMembers<Capabilities['thinking']['types']> = {
  adaptive: true,
  between_tools: true,
  disabled: true,
  enabled: true
}
const OPENAI: DueMembers<OpenAI.Model> = { id: true, created: true, object: true, owned_by: true }

function listed(facts: ModelFacts): ListedModel {
  return { id: facts.id, name: facts.name, ownedBy: 'anthropic', facts }
}

function factsOf(id: string): ModelFacts {
  const facts = findModel(BUILT_IN_MODELS, id)
  if (facts === undefined) throw new Error(`there is no model ${id}`)
  return facts
}

function capabilitiesOf(facts: ModelFacts, searches = true) {
  const [model] = toAnthropicList([listed(facts)], { searches }).data
  if (!model?.capabilities) throw new Error('no capabilities')
  return model.capabilities
}

t.test('a model in the shape of Anthropic has every member of its type in the SDK', async (t) => {
  const { data } = toAnthropicList(BUILT_IN_MODELS.map(listed), { searches: true })
  for (const model of data) {
    t.same(missingIn(model, MODEL), [], model.id)
    const { capabilities } = model
    t.same(missingIn(capabilities, CAPABILITIES), [])
    for (const [name, one] of Object.entries(capabilities ?? {})) {
      t.same(missingIn(one, name in NESTED ? Object(NESTED)[name] : SUPPORT), [], name)
    }
    t.same(missingIn(capabilities?.thinking.types, TYPES), [])
  }
})

t.test('a name that leads to no known model has no capabilities and no figures', async (t) => {
  const own = { id: 'mine', name: 'mine', ownedBy: 'kiro' }
  const list = toAnthropicList([own], { searches: true })
  t.match(list, { has_more: false, first_id: 'mine', last_id: 'mine' })
  const [model] = list.data
  t.same(missingIn(model, MODEL), [])
  t.match(model, { capabilities: null, max_input_tokens: null, max_tokens: null, line: null })
  t.same(missingIn(toOpenAiList([own]).data[0], OPENAI), [])
})

t.test('capabilities are what this gateway does', async (t) => {
  const yes = { supported: true }
  const no = { supported: false }
  const opus = factsOf('claude-opus-5.5')
  t.match(capabilitiesOf(opus), {
    batch: no,
    citations: no,
    code_execution: no,
    context_management: { supported: true, clear_tool_uses_20250919: yes, compact_20260112: no },
    effort: { supported: true, low: yes, medium: yes, high: yes, xhigh: yes, max: yes },
    image_input: yes,
    pdf_input: yes,
    server_tools: { supported: true, web_search: yes, code_execution: no },
    structured_outputs: yes,
    thinking: { supported: true, types: { adaptive: yes, enabled: yes, disabled: no } }
  })
  t.match(capabilitiesOf(opus, false).server_tools, { supported: false, web_search: no })
  t.match(capabilitiesOf(factsOf('claude-sonnet-4.6')), {
    effort: { supported: true, max: yes, xhigh: no },
    thinking: { types: { disabled: yes } }
  })
  t.match(capabilitiesOf({ ...factsOf('claude-haiku-4.5'), takesImages: false }), {
    effort: { supported: false, low: no },
    image_input: no,
    thinking: { supported: false, types: { adaptive: no, enabled: no } }
  })
})

t.test('a model on its way out is shown as such', async (t) => {
  const haiku = factsOf('claude-haiku-4.5')
  for (const lifecycle of ['deprecated', 'retired'] as const) {
    const models = [listed({ ...haiku, lifecycle })]
    const description = new RegExp(`· ${lifecycle}$`)
    t.match(toAnthropicList(models, { searches: true }).data[0], { lifecycle, description })
    t.match(toOpenAiList(models).data[0], { lifecycle, description })
  }
  const [active] = toOpenAiList([listed(haiku)]).data
  t.notOk('lifecycle' in active!)
  t.equal(toAnthropicList([listed(haiku)], { searches: true }).data[0]?.lifecycle, 'active')
})

function words(id: string): string {
  return Object(toOpenAiList([listed(factsOf(id))]).data[0]).description
}

t.test('a price step is told in words', async (t) => {
  t.match(words('gpt-5.6-sol'), /double price above 272k tokens/)
  t.match(words('claude-haiku-5.5'), /5 × price above 100k tokens/)
  t.notMatch(words('claude-opus-5.5'), /price/)
})

t.test('the line of a model is that of the model behind its name', async (t) => {
  const names: readonly ListedModel[] = [
    listed(factsOf('claude-opus-5.5')),
    listed(factsOf('claude-fable-5.1')),
    { ...listed(factsOf('claude-haiku-4.5')), id: 'mine' },
    listed(factsOf('gpt-5.6-sol')),
    listed(factsOf('auto'))
  ]
  t.same(
    toAnthropicList(names, { searches: true }).data.map(({ line }) => line),
    ['opus', 'fable', 'haiku', null, null]
  )
})
