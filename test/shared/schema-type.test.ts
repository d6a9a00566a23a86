import t from 'tap'
import { Type as TypeBox } from 'typebox'
import { Compile } from 'typebox/schema'
import { type Static, Type } from '../../src/shared/schema-type.ts'

type Builder = Pick<typeof TypeBox, keyof typeof Type>

/** Each kind of schema, in the places where it can stand. */
function example(type: Builder) {
  const member = type.Optional(type.Union([type.String(), type.Null()]))
  return type.Object(
    {
      text: type.String({ minLength: 1, maxLength: 9, pattern: '^a' }),
      count: type.Integer({ minimum: 0 }),
      size: type.Number({ exclusiveMinimum: 0, maximum: 2.5 }),
      flag: type.Boolean(),
      nothing: type.Null(),
      anything: type.Unknown(),
      choice: type.Enum(['a', 'b', 3]),
      list: type.Array(type.Object({ member }), { minItems: 1 }),
      open: type.Unsafe<{ x: number }>(type.Object({})),
      member,
      maybeOpen: type.Optional(type.Unsafe<string>(type.Unknown()))
    },
    { additionalProperties: false, title: 'an example' }
  )
}

const ours = example(Type)

t.test('Type', async (t) => {
  t.test('makes the JSON Schema that TypeBox makes', async (t) => {
    t.same(JSON.parse(JSON.stringify(ours)), JSON.parse(JSON.stringify(example(TypeBox))))
  })

  t.test('leaves the schemas that it is given as they are', async (t) => {
    const text = Type.String()
    Type.Optional(text)
    t.same(Type.Object({ text }), { type: 'object', required: ['text'], properties: { text } })
  })

  t.test('is understood by the compiler and has the types of TypeBox', async (t) => {
    const value: Static<typeof ours> = {
      text: 'abc',
      count: 1,
      size: 1.5,
      flag: true,
      nothing: null,
      anything: [],
      choice: 'b',
      list: [{}, { member: null }],
      open: { x: 1 }
    }
    for (const schema of [ours, example(TypeBox)]) {
      const shape = Compile(schema)
      t.ok(shape.Check(value))
      t.notOk(shape.Check({ ...value, choice: 'c' }))
      t.notOk(shape.Check({ ...value, count: -1 }))
      t.notOk(shape.Check({ ...value, member: 1 }))
      t.notOk(shape.Check({ ...value, more: 1 }))
      t.notOk(shape.Check({ ...value, text: undefined }))
    }
  })
})
