import t from 'tap'
import { checkAnswer, type JsonForm } from '../../src/dialects/plan/json-answer.ts'
import { sampleArguments, smallestSample } from '../../src/simulator/sample-json.ts'

type Json = Record<string, unknown>

/** Schemas of answers, by what is special about them. */
const SCHEMAS: Readonly<Record<string, Json>> = {
  'the title of a session': {
    type: 'object',
    properties: { title: { type: 'string' } },
    required: ['title'],
    additionalProperties: false
  },
  'members of all kinds': {
    type: 'object',
    properties: {
      ok: { type: 'boolean' },
      nothing: { type: 'null' },
      kind: { enum: ['b', 'a'] },
      fixed: { const: 0 },
      count: { type: 'integer', exclusiveMinimum: 2, maximum: 9 },
      ratio: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
      fives: { type: 'number', minimum: 7, multipleOf: 5 },
      long: { type: 'string', minLength: 50 },
      short: { type: 'string', maxLength: 2 },
      hex: { type: 'string', pattern: '^#[0-9a-f]{6}$' },
      day: { type: 'string', format: 'date', pattern: '^2026-' },
      list: { type: 'array', minItems: 2, items: { type: 'object', required: ['a'] } },
      pair: { type: 'array', minItems: 2, prefixItems: [{ const: 'x' }, { type: 'integer' }] }
    },
    required: 'ok nothing kind fixed count ratio fives long short hex day list pair'.split(' ')
  },
  'a tree': {
    $ref: '#/$defs/node',
    $defs: {
      node: {
        type: 'object',
        properties: {
          left: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] },
          right: { anyOf: [{ $ref: '#/$defs/node' }, { const: 'leaf' }] },
          again: { type: 'array', items: { $ref: '#/$defs/node' } }
        },
        required: ['left', 'right', 'again'],
        additionalProperties: false
      }
    }
  },
  'parts and choices': {
    allOf: [
      { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] },
      { properties: { b: { type: 'integer' } }, anyOf: [{ required: ['b'] }, { required: ['c'] }] }
    ],
    oneOf: [{ properties: { a: { minimum: 5 } } }, { properties: { a: { maximum: 2 } } }]
  },
  'values by any name': {
    type: 'object',
    required: ['a', 'constructor'],
    additionalProperties: { type: 'integer' }
  },
  'a list': { type: 'array', items: { type: 'string' } },
  'a number': { type: 'number' }
}

t.test('smallestSample()', async (t) => {
  for (const [name, schema] of Object.entries(SCHEMAS)) {
    const sample = smallestSample(schema)
    const form: JsonForm = { type: 'schema', schemaJson: JSON.stringify(schema) }
    const { problems } = checkAnswer(JSON.stringify(sample), form, 60_000)
    t.same(problems, [], `${name}: ${JSON.stringify(sample)}`)
  }

  t.test('has only what is required', async (t) => {
    const properties = { a: { type: 'string' }, b: { type: 'string' } }
    t.same(smallestSample({ type: 'object', properties, required: ['b'] }), { b: 'sample' })
  })

  t.test('ends where no value is small enough, and where no text fits', async (t) => {
    const endless: Json = { type: 'object', required: ['a', 'b', 'c'] }
    endless['properties'] = { a: { $ref: '#' }, b: { $ref: '#' }, c: { $ref: '#' } }
    t.ok(JSON.stringify(smallestSample(endless)).length < 1_000_000)
    const names = Array.from({ length: 12_000 }, (_, at) => `p${at}`)
    const properties = Object.fromEntries(names.map((name) => [name, { $ref: '#' }]))
    const wide = smallestSample({ type: 'object', properties, required: names })
    t.ok(JSON.stringify(wide).length < 1_000_000)
    t.ok(JSON.stringify(smallestSample({ allOf: [{ $ref: '#' }, { $ref: '#' }] })).length > 0)
    t.equal(smallestSample({ type: 'string', pattern: '^x{3}$' }), 'sample')
    t.equal(smallestSample({ type: 'string', pattern: '(' }), 'sample')
    t.type(
      smallestSample({ type: 'string', pattern: '^(([a-z ])+.)+[A-Z]([a-z ])+$', minLength: 60 }),
      'string'
    )
  })
})

t.test('sampleArguments()', async (t) => {
  t.test('makes a valid value for every kind of property', async (t) => {
    const properties = {
      text: { type: 'string', minLength: 8 },
      short: { type: 'string', maxLength: 3 },
      empty: { type: 'string', maxLength: 0 },
      choice: { enum: ['b', 'a'] },
      fixed: { const: 5 },
      given: { type: 'string', default: 'd' },
      count: { type: 'integer', minimum: 2.5 },
      ratio: { type: 'number', maximum: 0 },
      flag: { type: 'boolean' },
      nothing: { type: 'null' },
      maybe: { type: ['null', 'boolean'] },
      list: { type: 'array', minItems: 2, items: { type: 'integer' } },
      either: { anyOf: [{ type: 'integer' }, { type: 'string' }] },
      nested: { type: 'object', properties: { a: { properties: { b: {} } } } }
    }
    t.same(sampleArguments({ type: 'object', properties }), {
      text: 'sample s',
      short: 'sam',
      empty: '',
      choice: 'b',
      fixed: 5,
      given: 'd',
      count: 3,
      ratio: 0,
      flag: true,
      nothing: null,
      maybe: true,
      list: [1, 1],
      either: 1,
      nested: { a: { b: 'sample' } }
    })
  })

  t.test('ends for schemas without end', async (t) => {
    const schema: Record<string, unknown> = { type: 'object' }
    schema['properties'] = { again: schema, list: { type: 'array', items: schema } }
    t.ok(JSON.stringify(sampleArguments(schema)).length > 0)
  })
})
