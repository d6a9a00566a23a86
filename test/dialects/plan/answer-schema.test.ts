import t from 'tap'
import {
  MAX_SCHEMA_CHARS,
  readAnswerSchema,
  toPattern
} from '../../../src/dialects/plan/json-answer.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { anything, assert, property } from '../../helper/fast-check.ts'

const PATH = 'text.format.schema'

function refusal(schema: unknown): GatewayError {
  try {
    readAnswerSchema(schema, PATH)
  } catch (error) {
    if (error instanceof GatewayError) return error
    throw error
  }
  throw new Error('the schema was taken')
}

/** A schema of so many characters. */
function padded(chars: number): object {
  return { title: 'x'.repeat(chars - '{"title":""}'.length) }
}

t.test('readAnswerSchema()', async (t) => {
  t.test('takes what clients send', async (t) => {
    const schemas: unknown[] = [
      true,
      false,
      {},
      { $schema: 'http://json-schema.org/draft-07/schema#', type: ['object', 'null'], default: {} },
      { items: [{ type: 'string' }, false], additionalItems: false, uniqueItems: true },
      { properties: { type: { type: 'string' }, $ref: { type: 'object' }, pattern: {} } },
      { enum: [{ $ref: 'https://example.com' }, { type: 'objekt' }], const: { pattern: '(' } },
      { exclusiveMinimum: true, minimum: 0, multipleOf: 0.5, maxItems: 3.0, format: 'no-such' },
      { dependencies: { a: ['b'], c: { required: ['d'] } }, dependentRequired: { a: ['b'] } },
      {
        $defs: { a: { $anchor: 'x', type: 'string' } },
        anyOf: [{ $ref: '#x' }, { $ref: '#/$defs/a' }]
      },
      { definitions: { 'a/b~c d': {} }, $ref: '#/definitions/a~1b~0c%20d' },
      { properties: { next: { $ref: '#' } } },
      { prefixItems: [{}], items: { $ref: '#/prefixItems/0' } },
      {
        $id: 'https://example.com/s',
        $defs: { n: { $id: 'n', $defs: { m: {} }, $ref: '#/$defs/m' } }
      },
      { pattern: '^[\\w-.]+$', patternProperties: { '^x-': {} } },
      { nullable: true, 'x-order': 1, title: 5, description: null }
    ]
    for (const schema of schemas) t.equal(readAnswerSchema(schema, PATH), JSON.stringify(schema))
  })

  t.test('names what is wrong', async (t) => {
    for (const [schema, param, message] of [
      ['{}', '', /must be a JSON schema/],
      [[], '', /must be a JSON schema/],
      [null, '', /must be a JSON schema/],
      [{ type: 'objekt' }, '.type', /must be one of array/],
      [{ type: ['string', 5] }, '.type', /must be one of/],
      [{ properties: [] }, '.properties', /must be an object/],
      [{ properties: { a: 1 } }, '.properties.a', /must be a JSON schema/],
      [{ items: { items: [5] } }, '.items.items[0]', /must be a JSON schema/],
      [{ not: null }, '.not', /must be a JSON schema/],
      [{ anyOf: [] }, '.anyOf', /must be a list of JSON schemas/],
      [{ allOf: {} }, '.allOf', /must be a list/],
      [{ required: 'a' }, '.required', /list of strings/],
      [{ dependentRequired: { a: 'b' } }, '.dependentRequired', /lists of strings/],
      [{ enum: {} }, '.enum', /must be a list/],
      [{ minLength: -1 }, '.minLength', /at least 0/],
      [{ minimum: '1' }, '.minimum', /must be a number/],
      [{ exclusiveMaximum: null }, '.exclusiveMaximum', /must be a number/],
      [{ uniqueItems: 1 }, '.uniqueItems', /must be a boolean/],
      [{ $id: 1 }, '.$id', /must be a string/],
      [{ pattern: '(' }, '.pattern', /regular expression/],
      [{ pattern: 1 }, '.pattern', /regular expression/],
      [{ patternProperties: { '(': {} } }, '.patternProperties', /regular expression/],
      [{ patternProperties: 1 }, '.patternProperties', /must be an object/],
      [{ $ref: 'https://example.com/s' }, '.$ref', /not fetched/],
      [{ $ref: 'other.json#/a' }, '.$ref', /not fetched/],
      [{ $ref: '#/$defs/none' }, '.$ref', /does not exist/],
      [{ $ref: '#none' }, '.$ref', /does not exist/],
      [{ $ref: '#/title/x', title: 'text' }, '.$ref', /does not exist/],
      [{ $ref: '#/constructor' }, '.$ref', /does not exist/],
      [{ $ref: 1 }, '.$ref', /must be a string/]
    ] as const) {
      const error = refusal(schema)
      t.match(error, { code: 'GW_BODY_INVALID', message, param: PATH + param })
    }
  })

  t.test('bounds the size', async (t) => {
    t.ok(readAnswerSchema(padded(MAX_SCHEMA_CHARS), PATH))
    t.match(refusal(padded(MAX_SCHEMA_CHARS + 1)).message, /at most 262144 characters/)
  })

  t.test('takes or refuses anything, and never fails otherwise', async (t) => {
    assert(
      property(anything({ maxDepth: 4 }), (schema) => {
        try {
          readAnswerSchema(JSON.parse(JSON.stringify(schema) ?? 'null'), PATH)
        } catch (error) {
          if (!(error instanceof GatewayError)) throw error
        }
      })
    )
    t.pass()
  })
})

t.test('toPattern() reads patterns for either kind of engine', async (t) => {
  t.equal(toPattern('^a$')?.flags, 'u')
  t.equal(toPattern('\\-')?.flags, '')
  t.equal(toPattern('('), null)
  t.equal(toPattern(undefined), null)
})
