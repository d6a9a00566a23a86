import assert from 'node:assert/strict'
import t from 'tap'
import { PlacedRepairs, Repairs } from '../../src/kiro/rules/repairs.ts'
import { cleanSchema } from '../../src/kiro/schema/clean-schema.ts'
import { InlineBudget } from '../../src/kiro/schema/references.ts'
import { SCHEMA_MAPS, VALUES } from '../../src/kiro/schema/keywords.ts'
import { isJsonObject, type JsonObject, resolvePointer } from '../../src/shared/json.ts'
import { checkRequest } from '../strict-simulator/request-rules.ts'
import * as fc from '../helper/fast-check.ts'
import { hostileSchema } from '../helper/hostile-schemas.ts'
import { upstreamRequest, upstreamTool } from '../helper/simulator-request.ts'

t.setTimeout(240_000) // tens of thousands of cases, on a machine that may be busy

const RUNS = 4000
const REFERENCES = ['$ref', '$defs', 'definitions', '$schema', '$id', '$anchor']

t.test('any schema', async (t) => {
  t.test('becomes one that the upstream takes, and stays it', async () => {
    fc.assert(
      fc.property(hostileSchema, (schema) => {
        const sent = asSent(cleanSchema(schema, new InlineBudget(), new Repairs()))
        const tools = [upstreamTool('f', { ...sent })]
        const verdict = checkRequest(upstreamRequest('hi', { context: { tools } }))
        assert.ok(!('status' in verdict), JSON.stringify(verdict))
        assert.ok(isJsonObject(sent['properties']))
        assertNoReferences(sent)
        const again = new Repairs()
        assert.deepEqual(asSent(cleanSchema(sent, new InlineBudget(), again)), sent)
        assert.deepEqual(again.codes, [])
      }),
      { numRuns: RUNS }
    )
  })

  t.test('is not changed itself, and stays bounded however its references multiply', async () => {
    fc.assert(
      fc.property(hostileSchema, (schema) => {
        const before = JSON.stringify(schema)
        const sent = cleanSchema(schema, new InlineBudget(), new Repairs())
        assert.equal(JSON.stringify(schema), before)
        assert.ok(JSON.stringify(sent).length <= 2 * (before ?? '').length + 300_000)
      }),
      { numRuns: 2000 }
    )
  })

  t.test('has its repairs where the client wrote what was repaired', async () => {
    fc.assert(
      fc.property(hostileSchema, (schema) => {
        const body = { tools: [{ input_schema: schema }] }
        for (const { code, pointer } of placesIn(schema)) {
          assert.ok(pointer.startsWith('/tools/0/input_schema'), pointer)
          assert.notEqual(resolvePointer(body, pointer), undefined, `${code} ${pointer}`)
        }
      }),
      { numRuns: 2000 }
    )
  })
})

t.test('what a reference brings has its repairs where the reference leads', async (t) => {
  const a = { anyOf: [], properties: { x: {} }, required: ['x'] }
  for (const [schema, code, below] of [
    [{ $ref: '#/properties/a', properties: { a } }, 'tool-schema-flattened', '/properties/a/anyOf'],
    [
      { $ref: '#/$defs/b', $defs: { a, b: { $ref: '#/$defs/a' } } },
      'tool-schema-flattened',
      '/$defs/a/anyOf'
    ],
    [{ $ref: '#/$defs/a', $defs: { a }, anyOf: [{}] }, 'tool-schema-flattened', '/anyOf'],
    [
      { $ref: '#/$defs/a', $defs: { a }, properties: {} },
      'tool-schema-cleaned',
      '/$defs/a/required'
    ],
    [{ $ref: '#/$defs/a', $defs: { a }, required: ['y'] }, 'tool-schema-cleaned', '/required']
  ] as const) {
    const found = placesIn(schema).filter((place) => place.code === code)
    const pointer = `/tools/0/input_schema${below}`
    t.ok(
      found.some((place) => place.pointer === pointer),
      `${pointer} of ${JSON.stringify(found)}`
    )
  }
  for (const index of ['00', '', '1e0', '+1', '0x1'])
    t.same(
      placesIn({ anyOf: [{ $ref: `#/anyOf/${index}` }, {}] }).filter(
        ({ code }) => code === 'tool-schema-inlined'
      ),
      [],
      `"${index}" is no index`
    )
})

function placesIn(schema: unknown) {
  const repairs = new PlacedRepairs()
  cleanSchema(schema, new InlineBudget(), repairs, 'tools[0].input_schema')
  return repairs.places
}

/** As JSON makes it: numbers that JSON has no word for become null. */
function asSent(schema: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(schema)) as JsonObject
}

function assertNoReferences(schema: JsonObject): void {
  for (const [keyword, value] of Object.entries(schema)) {
    assert.ok(!REFERENCES.includes(keyword), keyword)
    if (VALUES.has(keyword)) continue
    const nested = SCHEMA_MAPS.has(keyword) && isJsonObject(value) ? Object.values(value) : [value]
    for (const one of nested.flat(9)) if (isJsonObject(one)) assertNoReferences(one)
  }
}
