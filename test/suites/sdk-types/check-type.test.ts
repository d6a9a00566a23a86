import t from 'tap'
import { TypeChecker } from './check-type.ts'

/** As ts-json-schema-generator writes types: closed objects, unions, literals and references. */
const checker = new TypeChecker({
  definitions: {
    Answers: {
      type: 'object',
      properties: {
        text: { $ref: '#/definitions/Text' },
        block: { anyOf: [{ $ref: '#/definitions/Text' }, { $ref: '#/definitions/Call' }] },
        labels: { type: 'object', additionalProperties: { type: 'string' } }
      }
    },
    Text: object({ type: { const: 'text' }, text: { type: 'string' } }, ['type', 'text']),
    Call: object(
      {
        type: { enum: ['call', 'custom_call'] },
        arguments: { type: ['string', 'null'] },
        parts: { type: 'array', items: { $ref: '#/definitions/Text' } }
      },
      ['type', 'arguments']
    )
  }
})

function object(properties: object, required: readonly string[]): object {
  return { type: 'object', properties, required, additionalProperties: false }
}

function check(value: unknown, property: string): readonly string[] {
  return checker.check(value, 'Answers', property)
}

t.test('says nothing of what fits', async (t) => {
  t.same(check({ type: 'text', text: 'hi' }, 'text'), [])
  t.same(check({ type: 'call', arguments: null, parts: [{ type: 'text', text: '' }] }, 'block'), [])
  t.same(check({ any: 'name' }, 'labels'), [])
})

t.test('names members that are missing, unknown or of another type', async (t) => {
  t.same(check({ type: 'text' }, 'text'), ['text: is missing'])
  t.same(check({ type: 'text', text: '', more: 1 }, 'text'), ['more: is in no type'])
  t.same(check({ type: 'text', text: null }, 'text'), ['text: is null, not of type string'])
  t.same(check({ type: 'other', text: '' }, 'text'), ['type: is "other", not "text"'])
  t.same(check({ any: 1 }, 'labels'), ['any: is 1, not of type string'])
})

t.test('compares with the branch of a union that the tag names', async (t) => {
  const parts = [{ type: 'text' }]
  t.same(check({ type: 'custom_call', arguments: '{}', parts }, 'block'), [
    'parts[0].text: is missing'
  ])
  t.same(check({ type: 'text' }, 'block'), ['text: is missing'])
})

t.test('a type that does not exist is a mistake of the caller', async (t) => {
  t.throws(() => check({}, 'nothing'), /has no nothing/)
})
