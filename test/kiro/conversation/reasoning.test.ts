import t from 'tap'
import {
  nearestEffort,
  planReasoning,
  type ReasoningWish
} from '../../../src/kiro/conversation/reasoning.ts'
import type { ResolvedModel } from '../../../src/kiro/models/models.ts'
import { Repairs } from '../../../src/kiro/rules/repairs.ts'

const TAGS = { isEnabled: true, maxTokens: 4000, budgetCap: 10_000 }

t.test('nearestEffort() takes the nearest, ties upward', async (t) => {
  const allowed = ['low', 'medium', 'high', 'max'] as const
  t.equal(nearestEffort('minimal', allowed), 'low')
  t.equal(nearestEffort('xhigh', allowed), 'max')
  t.equal(nearestEffort('medium', ['low', 'high']), 'high')
  t.equal(nearestEffort('max', ['low']), 'low')
  t.equal(nearestEffort('max', []), undefined)
})

t.test('planReasoning()', async (t) => {
  t.test('says nothing where nothing was asked', async (t) => {
    for (const id of ['claude-opus-5', 'gpt-5.6-sol', 'claude-haiku-4.5']) {
      t.same(plan(id, { mode: 'unsaid' }), { source: 'none' })
    }
  })

  t.test('uses the models’ own reasoning where they have it', async (t) => {
    t.same(plan('claude-opus-5', { mode: 'on', effort: 'xhigh' }), {
      source: 'native',
      fields: {
        thinking: { type: 'adaptive', display: 'summarized' },
        output_config: { effort: 'xhigh' }
      }
    })
    t.same(plan('claude-sonnet-4.6', { mode: 'on', effort: 'xhigh' }).fields, {
      thinking: { type: 'adaptive' },
      output_config: { effort: 'max' }
    })
    t.same(plan('gpt-5.6-luna', { mode: 'on' }).fields, { reasoning: { effort: 'medium' } })
  })

  t.test('passes on that reasoning is not wanted', async (t) => {
    t.same(plan('claude-opus-5', { mode: 'off' }), {
      source: 'none',
      fields: { thinking: { type: 'disabled' } }
    })
    t.same(plan('gpt-5.6-sol', { mode: 'off' }).fields, { reasoning: { effort: 'none' } })
    t.same(plan('claude-haiku-4.5', { mode: 'off' }), { source: 'none' })
  })

  t.test('never switches off what always thinks', async (t) => {
    for (const id of [
      'claude-opus-5.5',
      'claude-sonnet-5.5',
      'claude-fable-5.1',
      'claude-haiku-5.5',
      'claude-opus-7'
    ]) {
      t.same(plan(id, { mode: 'off' }), {
        source: 'none',
        fields: { thinking: { type: 'adaptive' }, output_config: { effort: 'low' } }
      })
      const named = plan(id, { mode: 'off', effort: 'high' })
      t.same(named.fields?.['output_config'], { effort: 'high' }, 'the client’s word')
    }
    t.match(plan('claude-opus-5', { mode: 'off' }).fields, { thinking: { type: 'disabled' } })
  })

  t.test('sends adaptive with every effort', async (t) => {
    t.same(plan('claude-sonnet-5', { mode: 'unsaid', effort: 'high' }), {
      source: 'none',
      fields: { thinking: { type: 'adaptive' }, output_config: { effort: 'high' } }
    })
    t.same(plan('claude-haiku-4.5', { mode: 'unsaid', effort: 'high' }), { source: 'none' })
  })

  t.test('makes an effort of a budget', async (t) => {
    const efforts = [3999, 4000, 15_999, 16_000, 31_999, 32_000].map(
      (budgetTokens) => plan('gpt-5.6-sol', { mode: 'on', budgetTokens }).fields?.['reasoning']
    )
    t.same(
      efforts,
      ['low', 'medium', 'medium', 'high', 'high', 'max'].map((effort) => ({ effort }))
    )
  })

  t.test('sends only what the model’s own schema declares', async (t) => {
    const schema = schemaOf({
      thinking: {
        type: 'object',
        properties: { type: { enum: ['adaptive'] }, display: { enum: ['omitted'] } }
      },
      output_config: { type: 'object', properties: { effort: { enum: ['low', 'high'] } } },
      max_tokens: { type: 'integer', minimum: 1024, maximum: 64_000 }
    })
    t.same(plan('claude-new-9', { mode: 'on', effort: 'max' }, { schema, maxTokens: 64 }).fields, {
      thinking: { type: 'adaptive' },
      output_config: { effort: 'high' },
      max_tokens: 1024
    })
    const omitted = plan('claude-new-9', { mode: 'on', display: 'omitted' }, { schema })
    t.same(omitted.fields, { thinking: { type: 'adaptive', display: 'omitted' } })
    t.same(plan('claude-new-9', { mode: 'off' }, { schema }).fields, {
      thinking: { type: 'adaptive' },
      output_config: { effort: 'low' }
    })
    t.same(plan('claude-opus-5', { mode: 'on' }, { schema: schemaOf({}) }).source, 'tags')
  })

  t.test('falls back to tags, within their bounds', async (t) => {
    t.equal(budgetOf({ mode: 'on' }), 4000)
    t.equal(budgetOf({ mode: 'on', budgetTokens: 2048 }), 2048)
    t.equal(budgetOf({ mode: 'on', budgetTokens: 31_999 }), 10_000)
    t.equal(budgetOf({ mode: 'on', effort: 'low' }), 819)
    t.equal(budgetOf({ mode: 'on', effort: 'high' }, 8000), 6400)
    t.equal(budgetOf({ mode: 'on', effort: 'low' }, 1), 1)
  })

  t.test('never uses tags against the operator’s will', async (t) => {
    const tags = { ...TAGS, isEnabled: false }
    t.same(plan('claude-haiku-4.5', { mode: 'on' }, { tags }), { source: 'none' })
  })

  t.test('takes -thinking in the name for a wish, unless a field says no', async (t) => {
    const thinking = { asksThinking: true }
    t.match(plan('claude-opus-5', { mode: 'unsaid' }, thinking), {
      source: 'native',
      fields: { output_config: { effort: 'high' } }
    })
    t.equal(plan('claude-opus-5', { mode: 'off' }, thinking).source, 'none')
  })
})

function budgetOf(wish: ReasoningWish, maxTokens?: number) {
  return plan('claude-haiku-4.5', wish, { maxTokens }).budgetTokens
}

interface Changes {
  readonly schema?: Readonly<Record<string, unknown>>
  readonly maxTokens?: number | undefined
  readonly tags?: typeof TAGS
  readonly asksThinking?: boolean
}

function plan(id: string, wish: ReasoningWish, changes: Changes = {}) {
  const { schema, asksThinking = false } = changes
  const facts = { id, name: id, maxInputTokens: 200_000, takesImages: true }
  const model: ResolvedModel = {
    id,
    contextWindow: 200_000,
    asksThinking,
    isSubstitute: false,
    ...(schema !== undefined && { facts: { ...facts, requestFieldsSchema: schema } })
  }
  const { maxTokens, tags = TAGS } = changes
  return planReasoning({ wish, model, maxTokens, tags, repairs: new Repairs() })
}

function schemaOf(properties: Record<string, unknown>) {
  return { type: 'object', properties, additionalProperties: false }
}
