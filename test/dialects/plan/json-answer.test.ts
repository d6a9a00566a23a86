import t from 'tap'
import { checkAnswer, type JsonForm, readJsonForm } from '../../../src/dialects/plan/json-answer.ts'
import { cpuMs } from '../../helper/cost.ts'

function form(schema: object): JsonForm {
  const read = readJsonForm({ type: 'json_schema', schema }, 'schema')
  if (read === undefined) throw new Error('no form')
  return read
}

/** What is wrong, and that all was looked at. */
function problemsOf(text: string, form: JsonForm): readonly string[] {
  const { problems, isComplete } = checkAnswer(text, form, 5000)
  return isComplete ? problems : ['given up']
}

t.test('readJsonForm()', async (t) => {
  t.equal(readJsonForm({ type: 'text' }, ''), undefined)
  t.same(readJsonForm({ type: 'json_object' }, ''), { type: 'object' })
  t.same(readJsonForm({ type: 'json_schema' }, ''), { type: 'value' })
  t.same(readJsonForm({ type: 'json_schema', schema: {} }, ''), {
    type: 'schema',
    schemaJson: '{}'
  })
  t.throws(() => readJsonForm({ type: 'json_schema', schema: 1 }, 'a.b'), {
    code: 'GW_BODY_INVALID',
    param: 'a.b'
  })
})

t.test('checkAnswer()', async (t) => {
  t.test('takes nothing but JSON', async (t) => {
    for (const text of [
      '',
      ' ',
      'yes',
      '{a:1}',
      "{'a':1}",
      '{"a":1,}',
      '{} {}',
      'NaN',
      '```{}```'
    ]) {
      t.match(problemsOf(text, { type: 'value' }), [/not valid JSON/], text)
    }
    for (const text of ['1', 'null', '"a"', '[]', ' {"a":1}\n']) {
      t.same(problemsOf(text, { type: 'value' }), [])
    }
    for (const text of ['1', 'null', '[]']) {
      t.match(problemsOf(text, { type: 'object' }), [/not a JSON object/])
    }
    t.same(problemsOf('{"a":1}', { type: 'object' }), [])
  })

  t.test('takes null where the schema has it in the words of OpenAPI', async (t) => {
    const schema = form({
      type: 'object',
      properties: {
        name: { type: 'string', nullable: true },
        size: { type: ['number', 'string'], enum: [1, 'big'], nullable: true },
        owner: { allOf: [{ $ref: '#/$defs/owner' }], nullable: true },
        never: { type: 'string', nullable: false }
      },
      $defs: { owner: { type: 'object', required: ['id'] } }
    })
    t.same(problemsOf('{"name":null,"size":null,"owner":null}', schema), [])
    t.same(problemsOf('{"name":"a","size":"big","owner":{"id":1},"never":"b"}', schema), [])
    for (const wrong of ['{"name":1}', '{"size":2}', '{"owner":{}}', '{"never":null}']) {
      t.not(problemsOf(wrong, schema).length, 0, wrong)
    }
  })

  t.test('says where an answer differs from its schema', async (t) => {
    const schema = form({
      type: 'object',
      properties: { list: { type: 'array', items: { type: 'integer', maximum: 9 } } },
      required: ['list', 'name'],
      additionalProperties: false
    })
    t.same(problemsOf('{"list":[1,2],"name":null}', form({ required: ['list'] })), [])
    const problems = problemsOf('{"list":[1,"2",10],"other":1}', schema)
    t.match(problems.join('\n'), /\/list\/1: must be integer/)
    t.match(problems.join('\n'), /\/list\/2: must be <= 9/)
    t.match(problems.join('\n'), /the whole: must have required properties name/)
    t.match(problems.join('\n'), /additional properties/)
  })

  t.test('tells the first eight of many problems, and each in a few words', async (t) => {
    const list = JSON.stringify(Array.from({ length: 1000 }, () => 'x'))
    t.equal(problemsOf(list, form({ items: { type: 'integer' } })).length, 8)
    const name = 'n'.repeat(5000)
    const [problem = ''] = problemsOf(
      `{"${name}":1}`,
      form({ properties: { [name]: { type: 'null' } } })
    )
    t.equal(problem.length, 300)
  })

  t.test('knows references, tuples, conditions and patterns of both kinds', async (t) => {
    const tree = form({
      $ref: '#/$defs/node',
      $defs: {
        node: {
          type: 'object',
          properties: { next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
          required: ['next']
        }
      }
    })
    t.same(problemsOf('{"next":{"next":null}}', tree), [])
    t.not(problemsOf('{"next":{"next":1}}', tree).length, 0)
    t.same(
      problemsOf('["a",1]', form({ prefixItems: [{ type: 'string' }, { type: 'number' }] })),
      []
    )
    const slug = form({ properties: { slug: { type: 'string', pattern: '^[\\w-.]+$' } } })
    t.same(problemsOf('{"slug":"a-b.c"}', slug), [])
    t.not(problemsOf('{"slug":"a b"}', slug).length, 0)
    const named = form({ properties: { pattern: { type: 'string' } }, const: { pattern: '(' } })
    t.same(problemsOf('{"pattern":"("}', named), [], 'a value that only looks like a schema')
    t.same(problemsOf('{}', form({ if: { required: ['a'] }, else: {} })), [])
    t.same(problemsOf('{}', { type: 'schema', schemaJson: 'true' }), [])
    t.not(problemsOf('{}', { type: 'schema', schemaJson: 'false' }).length, 0)
  })

  t.test('gives up checks that would take for ever, without a verdict', async (t) => {
    const defs: Record<string, object> = { d40: { type: 'number' } }
    for (let i = 0; i < 40; i++) {
      const $ref = `#/$defs/d${i + 1}`
      defs[`d${i}`] = { allOf: [{ $ref }, { $ref }] }
    }
    for (const [text, schema] of [
      [`"${'a'.repeat(50)}!"`, { pattern: '^(a+)+$' }],
      ['1', { $ref: '#/$defs/d0', $defs: defs }],
      ['1', { $ref: '#' }],
      ['{"a":1}', { propertyNames: { $ref: '#/propertyNames' } }]
    ] as const) {
      const tookMs = cpuMs(() => {
        t.same(checkAnswer(text, form(schema), 100), { problems: [], isComplete: false })
      })
      t.ok(tookMs < 5000, `${tookMs} ms of CPU`)
    }
    t.same(problemsOf('1', form({ type: 'integer' })), [], 'and the next check is none the worse')
  })

  t.test('survives answers that nest deeply', async (t) => {
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
    t.same(problemsOf(deep, form({ type: 'array' })), [])
    t.same(problemsOf(deep, form({ items: { $ref: '#' } })), ['given up'])
  })
})
