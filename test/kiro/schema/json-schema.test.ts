import t from 'tap'
import { Repairs } from '../../../src/kiro/rules/repairs.ts'
import { cleanSchema } from '../../../src/kiro/schema/clean-schema.ts'
import { InlineBudget } from '../../../src/kiro/schema/references.ts'
import { cpuMs } from '../../helper/cost.ts'

t.test('cleanSchema()', async (t) => {
  t.test('makes an object schema of anything', async (t) => {
    for (const nothing of [undefined, null, 'text', 7, true, [], {}]) {
      t.same(clean(nothing), { type: 'object', properties: {} })
    }
    t.same(clean({ type: 'string', properties: null }), { type: 'object', properties: {} })
  })

  t.test('merges combinators at the root', async (t) => {
    const schema = {
      anyOf: [
        { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] },
        {
          type: 'object',
          properties: { b: { type: 'number' }, a: { type: 'integer' } },
          required: ['a', 'b']
        }
      ]
    }
    t.same(clean(schema), {
      type: 'object',
      properties: { a: { type: 'string' }, b: { type: 'number' } },
      required: ['a']
    })
    t.same(clean({ allOf: schema.anyOf })['required'], ['a', 'b'], 'allOf needs what any needs')
    t.same(codesOf(schema), ['tool-schema-typed', 'tool-schema-flattened'])
  })

  t.test('keeps combinators below the root', async (t) => {
    const value = { anyOf: [{ type: 'string' }, { type: 'null' }] }
    t.same(clean(objectOf({ value })), objectOf({ value }))
  })

  t.test('takes out what the upstream refuses, at every level', async (t) => {
    const dirty = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: 'x',
      type: 'object',
      additionalProperties: false,
      required: [],
      properties: {
        list: {
          type: 'array',
          items: { type: 'object', additionalProperties: {}, required: null }
        },
        one: { oneOf: [{ type: 'object', required: ['gone'], properties: {} }] }
      }
    }
    t.same(clean(dirty), {
      type: 'object',
      properties: {
        list: { type: 'array', items: { type: 'object' } },
        one: { oneOf: [{ type: 'object', properties: {} }] }
      }
    })
  })

  t.test('writes properties that are booleans as schemas', async (t) => {
    const schema = objectOf({ any: true, none: false })
    t.same(clean(schema), objectOf({ any: {}, none: { not: {} } }))
    t.same(codesOf(schema), ['tool-schema-cleaned'])
  })

  t.test('keeps only required names that are strings, known and not repeated', async (t) => {
    const schema = { ...objectOf({ a: {}, b: {} }), required: ['a', 'c', 7, null, 'a', 'toString'] }
    t.same(clean(schema)['required'], ['a'])
    t.same(clean({ ...objectOf({ a: {} }), required: 'a' })['required'], undefined)
  })

  t.test('never takes a property’s name for a keyword', async (t) => {
    const schema = objectOf({
      required: { type: 'boolean' },
      additionalProperties: { type: 'string' },
      $ref: { type: 'string' },
      $defs: { type: 'object' },
      anyOf: { type: 'string' },
      properties: { type: 'object', properties: { $schema: {} } }
    })
    t.strictSame(clean(schema), schema)
  })

  t.test('leaves the rest untouched, null defaults too', async (t) => {
    const schema = objectOf({
      mode: { type: ['string', 'null'], enum: ['a', null], default: null, const: null },
      size: { type: 'integer', minimum: 0, exclusiveMaximum: 18446744073709552000 },
      names: { patternProperties: { '^x': { type: 'string' } }, propertyNames: { pattern: 'x' } }
    })
    t.strictSame(clean(schema), schema)
  })

  t.test('drops numbers beyond what JSON can carry', async (t) => {
    const schema = JSON.parse('{"type":"object","properties":{"a":{"maximum":1e999}}}')
    t.same(clean(schema), objectOf({ a: {} }))
  })

  t.test(
    'inlines local references, also at the root, keeping what stands beside them',
    async (t) => {
      const schema = {
        $ref: '#/$defs/Root',
        $defs: {
          Root: objectOf({ at: { $ref: '#/definitions/a~1b', description: 'here' } }),
          unused: {}
        },
        definitions: { 'a/b': { type: 'string', description: 'there' } }
      }
      t.same(clean(schema), objectOf({ at: { type: 'string', description: 'here' } }))
      t.ok(codesOf(schema).includes('tool-schema-inlined'))
    }
  )

  t.test('breaks cycles and leaves out what points nowhere', async (t) => {
    const tree = objectOf({ child: { $ref: '#' }, other: { $ref: 'https://x/y', type: 'string' } })
    const cleaned = clean(tree)
    t.same(cleaned, {
      type: 'object',
      properties: {
        child: {
          type: 'object',
          properties: { child: { type: 'object' }, other: { type: 'string' } }
        },
        other: { type: 'string' }
      }
    })
    t.same(clean({ $ref: '#' }), { type: 'object', properties: {} })
  })

  t.test('follows references eight deep', async (t) => {
    const $defs = Object.fromEntries(
      Array.from({ length: 12 }, (_, at) => [`d${at}`, objectOf({ next: ref(`d${at + 1}`) })])
    )
    const json = JSON.stringify(clean({ ...objectOf({ next: ref('d0') }), $defs }))
    t.equal(json.match(/next/g)?.length, 9)
  })

  t.test('stops references that would multiply without end', async (t) => {
    const twice = (at: number) => [
      `d${at}`,
      objectOf({ a: ref(`d${at + 1}`), b: ref(`d${at + 1}`) })
    ]
    const deep = Object.fromEntries(Array.from({ length: 8 }, (_, at) => twice(at)))
    const wide = { ...deep, d7: { type: 'string', description: 'x'.repeat(100_000) } }
    const schema = { ...objectOf({ a: ref('d0') }), $defs: wide }
    let json = ''
    const tookMs = cpuMs(() => (json = JSON.stringify(clean(schema))))
    t.ok(json.length < 1_000_000, `${json.length} characters`)
    t.ok(tookMs < 1000, `${tookMs} ms of CPU`)
    t.ok(codesOf(schema).includes('tool-schema-cut'))
  })

  t.test('shares its budget among the tools of a request', async (t) => {
    const budget = new InlineBudget(500)
    const schema = { ...objectOf({ a: ref('x') }), $defs: { x: { enum: ['y'.repeat(280)] } } }
    const sizes = [1, 2, 3].map(
      () => JSON.stringify(cleanSchema(schema, budget, new Repairs())).length
    )
    t.ok((sizes[0] ?? 0) > 280)
    t.ok((sizes[1] ?? 999) < 100)
    t.equal(sizes[1], sizes[2])
  })

  t.test('keeps a property named __proto__ as data', async (t) => {
    const schema = JSON.parse('{"type":"object","properties":{"__proto__":{"type":"string"}}}')
    t.equal(JSON.stringify(clean(schema)), JSON.stringify(schema))
    t.equal(Object.getPrototypeOf(clean(schema)['properties']), Object.prototype)
  })

  t.test('leaves open what is too deep', async (t) => {
    let schema: object = { type: 'string' }
    for (let level = 0; level < 5000; level++) schema = { type: 'array', items: schema }
    t.ok(codesOf(objectOf({ schema })).includes('tool-schema-cut'))
  })
})

function clean(schema: unknown) {
  return cleanSchema(schema, new InlineBudget(), new Repairs())
}

function codesOf(schema: unknown): readonly string[] {
  const repairs = new Repairs()
  cleanSchema(schema, new InlineBudget(), repairs)
  return repairs.codes
}

function objectOf(properties: Record<string, unknown>) {
  return { type: 'object', properties }
}

function ref(name: string) {
  return { $ref: `#/$defs/${name}` }
}
