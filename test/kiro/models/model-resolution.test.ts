import t from 'tap'
import {
  BUILT_IN_MODELS,
  type ModelFacts,
  rulesFor,
  normaliseModelName,
  resolveModel
} from '../../../src/kiro/models/models.ts'
import { GatewayError } from '../../../src/shared/errors.ts'

t.test('normaliseModelName()', async (t) => {
  const spellings: readonly (readonly [string, string])[] = [
    ['claude-sonnet-4-5-20250929', 'claude-sonnet-4.5'],
    ['claude-sonnet-4-6', 'claude-sonnet-4.6'],
    ['claude-sonnet-4-6-latest', 'claude-sonnet-4.6'],
    ['Claude-Opus-4-8', 'claude-opus-4.8'],
    ['claude-sonnet-4-20250514', 'claude-sonnet-4'],
    ['claude-opus-5', 'claude-opus-5'],
    ['claude-fable-5-latest', 'claude-fable-5'],
    ['claude-3-7-sonnet-20250219', 'claude-3.7-sonnet'],
    ['claude-haiku-4.5-20251001', 'claude-haiku-4.5'],
    ['claude-4.5-opus-high-thinking', 'claude-opus-4.5'],
    ['claude-sonnet-4-5-1m', 'claude-sonnet-4.5-1m'],
    ['claude-opus-4.6[1m]', 'claude-opus-4.6'],
    ['claude-sonnet-4-5[200K]', 'claude-sonnet-4.5'],
    ['anthropic-gpt-5.6-sol', 'gpt-5.6-sol'],
    ['anthropic/claude-opus-4.8', 'claude-opus-4.8'],
    ['claude-sonnet-4-5-agentic', 'claude-sonnet-4.5'],
    [' auto ', 'auto'],
    ['CLAUDE_SONNET_4_5_20250929_V1_0', 'CLAUDE_SONNET_4_5_20250929_V1_0'],
    ['My-Own-Model', 'My-Own-Model']
  ]
  for (const [name, id] of spellings) {
    t.equal(normaliseModelName(name).id, id, name)
    t.equal(normaliseModelName(id).id, id, `${id} stays`)
  }

  t.test('remembers what decorations ask for', async (t) => {
    t.match(normaliseModelName('claude-opus-4-8-thinking[1m]'), {
      id: 'claude-opus-4.8',
      asksThinking: true,
      asksLongContext: true
    })
    t.match(normaliseModelName('claude-opus-4-8[200k]'), {
      asksThinking: false,
      asksLongContext: false
    })
  })

  t.test('passes over absurdly long names', async (t) => {
    const name = `claude-${'-1'.repeat(1_000_000)}`
    t.equal(normaliseModelName(name).id, name)
  })
})

t.test('resolveModel()', async (t) => {
  const offline = { aliases: {}, models: BUILT_IN_MODELS, isCatalogueLive: false }

  t.test('passes unknown names on unchanged while the catalogue is not known', async (t) => {
    t.match(resolveModel('Some-New-Model', offline), {
      id: 'Some-New-Model',
      contextWindow: 200_000
    })
    t.match(resolveModel('other-1m', offline), { contextWindow: 1_000_000 })
  })

  t.test('takes dots for dashes and any case where it knows the model', async (t) => {
    t.equal(resolveModel('GPT-5-6-sol', offline).id, 'gpt-5.6-sol')
    t.equal(resolveModel('gpt-5.6-sol', offline).contextWindow, 1_000_000)
  })

  t.test('gives versions yet to come the rules of their family’s newest', async (t) => {
    const windows: readonly (readonly [string, number])[] = [
      ['claude-opus-5-6', 1_000_000],
      ['claude-opus-7', 1_000_000],
      ['claude-haiku-6', 1_000_000],
      ['claude-haiku-5', 200_000],
      ['gpt-7-sol', 1_000_000],
      ['claude-opus-4.1', 200_000],
      ['claude-future-9', 200_000]
    ]
    for (const [name, contextWindow] of windows) {
      t.match(resolveModel(name, offline), { contextWindow, isSubstitute: false }, name)
    }
    t.equal(resolveModel('claude-opus-5-6', offline).id, 'claude-opus-5.6', 'no neighbour')
    t.equal(rulesFor('claude-opus-4.9')?.id, 'claude-opus-4.8')
    t.equal(rulesFor('claude-opus-6.2-1m')?.id, 'claude-opus-5.5')
    t.equal(rulesFor('toString'), undefined)
  })

  t.test('takes the operator’s window before the list’s', async (t) => {
    const windows = { 'gpt-5.6-sol': '272000' }
    t.equal(resolveModel('gpt-5-6-sol', { ...offline, windows }).contextWindow, 272_000)
    t.equal(resolveModel('gpt-5.6-luna', { ...offline, windows }).contextWindow, 1_000_000)
    t.equal(resolveModel('constructor', { ...offline, windows }).contextWindow, 200_000)
  })

  t.test('follows aliases in chains and ends in cycles', async (t) => {
    const aliases = { fast: 'my-haiku', 'my-haiku': 'claude-haiku-4-5', a: 'b', b: 'a' }
    t.equal(resolveModel('fast', { ...offline, aliases }).id, 'claude-haiku-4.5')
    t.equal(resolveModel('a', { ...offline, aliases }).id, 'a')
    t.equal(resolveModel('constructor', { ...offline, aliases }).id, 'constructor')
  })

  t.test('gives an unknown Claude model to the newest of its family, never a 404', async (t) => {
    const options = live(['auto', 'claude-opus-4.10', 'claude-opus-4.9', 'claude-sonnet-5'])
    t.match(resolveModel('claude-opus-5-5', options), {
      id: 'claude-opus-4.10',
      isSubstitute: true
    })
    t.equal(resolveModel('claude-3-5-sonnet-20241022', options).id, 'claude-sonnet-5')
    t.equal(resolveModel('claude-haiku-4-5', options).id, 'claude-sonnet-5', 'no haiku at all')
    t.equal(resolveModel('claude-haiku-4-5', live(['auto', 'gpt-5.6-sol'])).id, 'auto')
    t.notOk(resolveModel('claude-opus-4-9', options).isSubstitute)
  })

  t.test('gives an unknown GPT model to the newest of the nearest tier, never a 404', async (t) => {
    const tiers = ['gpt-5.6-luna', 'gpt-5.6-terra', 'gpt-5.6-sol', 'gpt-5.5-terra', 'gpt-5.10-sol']
    const options = live(['auto', 'claude-opus-5', ...tiers])
    const names: readonly (readonly [string, string])[] = [
      ['gpt-5.5', 'gpt-5.6-terra'],
      ['gpt-5', 'gpt-5.6-terra'],
      ['gpt-5-2025-08-07', 'gpt-5.6-terra'],
      ['gpt-4o', 'gpt-5.6-terra'],
      ['gpt-4-0613', 'gpt-5.6-terra'],
      ['gpt-5.3-codex', 'gpt-5.6-terra'],
      ['gpt-oss-120b', 'gpt-5.6-terra'],
      ['gpt-4o-mini', 'gpt-5.6-luna'],
      ['gpt-5-nano', 'gpt-5.6-luna'],
      ['gpt-6-luna', 'gpt-5.6-luna'],
      ['gpt-6.1-terra', 'gpt-5.6-terra'],
      ['gpt-5.4-pro', 'gpt-5.10-sol'],
      ['GPT-5-6', 'gpt-5.10-sol'],
      ['gpt-5.6', 'gpt-5.10-sol'],
      ['gpt-6', 'gpt-5.10-sol'],
      ['anthropic-gpt-6-sol', 'gpt-5.10-sol']
    ]
    for (const [name, id] of names) {
      t.match(resolveModel(name, options), { id, isSubstitute: true }, name)
    }
    t.equal(resolveModel('gpt-5', live(['auto', 'gpt-5.6-sol'])).id, 'gpt-5.6-sol', 'no terra')
    t.equal(resolveModel('gpt-5', live(['auto', 'claude-opus-5'])).id, 'auto', 'no GPT at all')
    t.notOk(resolveModel('gpt-5-6-sol', options).isSubstitute)
  })

  t.test('gives the small model of Claude Code to the newest Haiku', async (t) => {
    t.match(resolveModel('claude-haiku-5-5', live(['claude-haiku-5.5'])), {
      id: 'claude-haiku-5.5',
      isSubstitute: false
    })
    t.equal(resolveModel('claude-haiku-5-5', live(['claude-haiku-4.5'])).id, 'claude-haiku-4.5')
    t.equal(resolveModel('claude-haiku-5-5', offline).contextWindow, 1_000_000)
  })

  t.test('lets no retired model stand in for another', async (t) => {
    const [old, gone] = live(['claude-opus-4.8', 'claude-opus-5']).models
    const options = { ...offline, isCatalogueLive: true }
    const models = [old!, { ...gone!, lifecycle: 'retired' as const }]
    t.equal(resolveModel('claude-opus-5-5', { ...options, models }).id, 'claude-opus-4.8')
    t.equal(resolveModel('claude-opus-5', { ...options, models }).id, 'claude-opus-5', 'as asked')
  })

  t.test('always allows auto', async (t) => {
    t.equal(resolveModel('auto', live(['claude-opus-5'])).id, 'auto')
  })

  t.test('refuses any other unknown name and says which are nearest', async (t) => {
    const options = live(['glm-5', 'glm-4', 'gpt-5.6-luna', 'claude-opus-5'])
    try {
      resolveModel('glm-55', options)
      t.fail('must throw')
    } catch (error) {
      t.ok(error instanceof GatewayError)
      t.match(error, { code: 'GW_MODEL_UNKNOWN', param: 'model' })
      t.match((error as GatewayError).message, /nearest are: glm-5, glm-4\. GET /)
    }
    t.throws(() => resolveModel('x'.repeat(1_000_000), options), { code: 'GW_MODEL_UNKNOWN' })
  })

  t.test('prefers a listed id over what its decorations look like', async (t) => {
    t.match(resolveModel('kimi-k2-thinking', live(['kimi-k2-thinking'])), {
      id: 'kimi-k2-thinking',
      asksThinking: false
    })
  })

  t.test('takes the long variant for [1m] where there is one', async (t) => {
    const options = live(['claude-sonnet-4.5', 'claude-sonnet-4.5-1m', 'claude-opus-5'])
    t.equal(resolveModel('claude-sonnet-4-5[1m]', options).id, 'claude-sonnet-4.5-1m')
    t.equal(resolveModel('claude-opus-5[1m]', options).id, 'claude-opus-5')
  })
})

function live(ids: readonly string[]) {
  return { aliases: {}, models: ids.map(facts), isCatalogueLive: true }
}

function facts(id: string): ModelFacts {
  return { id, name: id, maxInputTokens: 200_000, takesImages: true }
}
