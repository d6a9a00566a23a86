import assert from 'node:assert'
import t from 'tap'
import {
  copyNewItems,
  readClientEvent,
  readLargeEvent,
  toRequestBody
} from '../../../src/dialects/openai-responses/client-event.ts'
import {
  earlierParts,
  toStoredConversation
} from '../../../src/dialects/openai-responses/earlier-items.ts'
import * as fc from '../../helper/fast-check.ts'

function eventOf(text: string) {
  return readClientEvent(Buffer.from(text))
}

t.test('readClientEvent()', async (t) => {
  const event = eventOf(
    ' {"type" : "response.create", "stream_id":"a","generate":false , "previous_response_id":"r" } '
  )
  t.match(event, {
    type: 'response.create',
    streamId: 'a',
    previousId: 'r',
    isWarmUp: true
  })
  t.match(eventOf('{"type":"a","typ\\u0065":"b"}'), { type: 'b' }, 'the last of a name counts')
  for (const text of ['', 'x', '[]', '{', '{"type":1}', '{"type":"a"', '{"type":"a"} x', '"a"']) {
    t.equal(eventOf(text), null, text)
  }
  const many = Array.from({ length: 2000 }, (_, index) => `"m${index}":0`).join(',')
  t.equal(eventOf(`{"type":"a",${many}}`), null, 'members without end')
  const long = 'x'.repeat(2000)
  for (const lane of [`"${long}"`, '""', '7', '{}']) {
    t.match(eventOf(`{"type":"a","stream_id":${lane}}`), { streamId: null, hasLane: false }, lane)
  }
  t.match(eventOf('{"type":"a","stream_id":null}'), { streamId: null, hasLane: true })
  t.equal(eventOf(`{"type":"${long}"}`), null)
})

t.test('any request is the same as over HTTP, whatever its spaces and names', async () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.json(), { maxKeys: 8 }),
      fc.array(fc.jsonValue()),
      fc.constantFrom(0, 2),
      (members, input, indent) => {
        const own = { ...members, type: 'response.create', generate: true, input }
        const event = eventOf(JSON.stringify(own, null, indent))
        assert(event !== null)
        const { type: _, generate: __, stream_id: ___, ...rest } = own as Record<string, unknown>
        assert.deepEqual(JSON.parse(toRequestBody(event).body.toString()), {
          ...rest,
          stream: true
        })
        const items: unknown = JSON.parse(`[${copyNewItems(event).toString()}]`)
        assert.deepEqual(items, JSON.parse(JSON.stringify(input)))
      }
    )
  )
})

t.test('a text is a message of the user', async (t) => {
  const event = eventOf('{"type":"response.create","input":"a\\"]"}')
  t.ok(event)
  if (event === null) return
  t.same(JSON.parse(copyNewItems(event).toString()), { role: 'user', content: 'a"]' })
})

t.test('a large message is looked at in many turns of the event loop', async (t) => {
  for (const [name, input] of [
    ['strings', Array.from({ length: 300_000 }, () => 'a')],
    ['quotes', '"'.repeat(1_000_000)]
  ] as const) {
    const bytes = Buffer.from(JSON.stringify({ type: 'response.create', input }))
    let turns = 0
    let isOver = false
    const count = (): void => {
      turns += 1
      if (!isOver) setImmediate(count)
    }
    setImmediate(count)
    const event = await readLargeEvent(bytes)
    isOver = true
    t.ok(turns >= bytes.byteLength / 65_536 - 2, `${name}: ${turns} turns`)
    t.same(event, readClientEvent(bytes))
  }
})

t.test('a stored conversation is found by its response alone', async (t) => {
  const parts = ['', '{"a":1},{"b":2}', '', '{"c":3}'].map((text) => Buffer.from(text))
  const stored = JSON.parse(toStoredConversation('resp_1', parts).toString())
  t.same(earlierParts('resp_1', stored), [[], [{ a: 1 }, { b: 2 }], [], [{ c: 3 }]])
  for (const id of ['resp_2', '__proto__', 'toString']) {
    assert.throws(
      () => earlierParts(id, stored),
      (error) => {
        t.match(error, { details: { error_code: 'previous_response_not_found' } })
        return true
      }
    )
  }
})
