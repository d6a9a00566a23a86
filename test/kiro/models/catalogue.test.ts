import t from 'tap'
import {
  BUILT_IN_CATALOGUE,
  BUILT_IN_MODELS,
  DEFAULT_CONTEXT_WINDOW,
  findModel,
  parseModelPage,
  priceFactorOf,
  priceStepOf
} from '../../../src/kiro/models/models.ts'

t.test('parseModelPage()', (t) => {
  t.test('reads all that is there', async (t) => {
    const schema = { type: 'object' }
    const page = {
      models: [
        {
          modelId: 'new-1',
          modelName: 'New One',
          description: 'a model',
          tokenLimits: { maxInputTokens: 300_000, maxOutputTokens: 9000 },
          supportedInputTypes: ['TEXT'],
          additionalModelRequestFieldsSchema: schema
        }
      ],
      nextToken: 'more'
    }
    t.strictSame(parseModelPage(page), {
      models: [
        {
          id: 'new-1',
          name: 'New One',
          description: 'a model',
          maxInputTokens: 300_000,
          maxOutputTokens: 9000,
          takesImages: false,
          requestFieldsSchema: schema
        }
      ],
      nextToken: 'more'
    })
  })

  t.test('fills in what it knows itself', async (t) => {
    const { models } = parseModelPage({
      models: [{ modelId: 'CLAUDE-OPUS-4-8' }, { modelId: 'x' }]
    })
    const known = findModel(BUILT_IN_MODELS, 'claude-opus-4.8')!
    t.match(models, [
      {
        id: 'CLAUDE-OPUS-4-8',
        name: known.name,
        maxInputTokens: known.maxInputTokens,
        maxOutputTokens: known.maxOutputTokens
      },
      { id: 'x', name: 'x', maxInputTokens: DEFAULT_CONTEXT_WINDOW, takesImages: true }
    ])
    t.equal('maxOutputTokens' in models[1]!, false)
  })

  t.test('passes over what is no model, and limits that are none', async (t) => {
    for (const models of [undefined, null, 'x', {}, [null, 1, 'x', [], {}, { modelId: 5 }]]) {
      t.strictSame(parseModelPage({ models }), { models: [], nextToken: null })
    }
    for (const limit of [0, -1, 1.5, '5', null, Number.MAX_VALUE]) {
      const tokenLimits = { maxInputTokens: limit, maxOutputTokens: limit }
      const { models } = parseModelPage({ models: [{ modelId: 'x', tokenLimits }] })
      t.strictSame(models, [
        { id: 'x', name: 'x', maxInputTokens: DEFAULT_CONTEXT_WINDOW, takesImages: true }
      ])
    }
  })

  t.test('takes texts and schemas of a usual length', async (t) => {
    const long = 'x'.repeat(100_000)
    const deep = JSON.parse(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`)
    const { models } = parseModelPage({
      models: [
        { modelId: long },
        { modelId: 'long', modelName: long, description: long },
        { modelId: 'large', additionalModelRequestFieldsSchema: { title: long } },
        { modelId: 'deep', additionalModelRequestFieldsSchema: deep },
        { modelId: 'usual', additionalModelRequestFieldsSchema: { type: 'object' } }
      ]
    })
    t.same(
      models.map(({ id, requestFieldsSchema }) => [id, requestFieldsSchema]),
      [
        ['long', undefined],
        ['large', undefined],
        ['deep', undefined],
        ['usual', { type: 'object' }]
      ]
    )
    t.equal(models[0]!.name.length, 200)
    t.equal(models[0]!.description!.length, 1000)
  })

  t.test('sees which models are on their way out', async (t) => {
    const models = ['ACTIVE', 'deprecated', 'LEGACY', 'Retired', 'END_OF_LIFE', 'new', 7, undefined]
    const page = parseModelPage({ models: models.map((status) => ({ modelId: 'x', status })) })
    t.same(
      page.models.map(({ lifecycle }) => lifecycle),
      [undefined, 'deprecated', 'deprecated', 'retired', 'retired', undefined, undefined, undefined]
    )
  })

  t.test(
    'gives the newest Haiku its window where the upstream says nothing of limits',
    async (t) => {
      const { models } = parseModelPage({ models: [{ modelId: 'claude-haiku-5.5' }] })
      t.match(models, [{ maxInputTokens: 1_000_000, maxOutputTokens: 128_000 }])
    }
  )

  t.test('sees images among the input types', async (t) => {
    const { models } = parseModelPage({
      models: [{ modelId: 'x', supportedInputTypes: ['TEXT', 'IMAGE'] }]
    })
    t.equal(models[0]?.takesImages, true)
  })
  t.end()
})

t.test('a price step says from where on, and how much more all of a request costs', async (t) => {
  for (const [id, step] of [
    ['gpt-5.6-sol', { aboveTokens: 272_000, factor: 2 }],
    ['gpt-7', { aboveTokens: 272_000, factor: 2 }],
    ['claude-haiku-5.5', { aboveTokens: 100_000, factor: 5 }],
    ['claude-haiku-6', { aboveTokens: 100_000, factor: 5 }],
    ['claude-haiku-4.5', null],
    ['claude-opus-5.5', null],
    ['glm-5', null]
  ] as const) {
    t.same(priceStepOf(id), step, id)
  }
  t.equal(priceFactorOf('claude-haiku-5.5', 100_000), 1)
  t.equal(priceFactorOf('claude-haiku-5.5', 100_001), 5)
  t.equal(priceFactorOf('gpt-5.6-luna', 300_000), 2)
  t.equal(priceFactorOf('claude-opus-5', 900_000), 1)
})

t.test('the built-in catalogue', async (t) => {
  t.equal(BUILT_IN_CATALOGUE.isLive, false)
  t.equal(BUILT_IN_CATALOGUE.models, BUILT_IN_MODELS)
  t.ok(findModel(BUILT_IN_MODELS, 'kimi-k3'))
  t.equal(findModel(BUILT_IN_MODELS, 'claude-sonnet-4.5')?.lifecycle, 'deprecated')
})
