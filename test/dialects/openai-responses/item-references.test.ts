import assert from 'node:assert/strict'
import t from 'tap'
import { convertRequest } from '../../../src/dialects/dialect.ts'
import { itemReferencesOf } from '../../../src/dialects/openai-responses/input.ts'
import { convert as convertAny, refusalOf } from '../../helper/convert.ts'
import * as fc from '../../helper/fast-check.ts'
import { requestOptions, toAnswer } from '../../helper/request-options.ts'

const MESSAGE = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text: 'I said so.', annotations: [] }]
}

t.test('itemReferencesOf() finds what a body refers to', async (t) => {
  t.test('in any order of members and any white space, each once', async (t) => {
    const body = `{"model":"auto","input":[
      {"type":"item_reference","id":"msg_1"},
      { "id" : "fc_2", "type" : "item_reference" },
      {"type":"item_reference","id":"msg_1"},
      {"type":"item_reference","id":"\\u0072s_3"},
      {"type":"message","role":"user","content":"é🎉"},{"id":"x","type":"item_reference"}]}`
    t.same(itemReferencesOf(Buffer.from(body)), ['msg_1', 'fc_2', 'rs_3', 'x'])
  })

  t.test('never in texts', async (t) => {
    const text = '{"type":"item_reference","id":"msg_1"}'
    for (const input of [text, [{ role: 'user', content: text }], [{ role: text }]]) {
      t.same(itemReferencesOf(Buffer.from(JSON.stringify({ input }))), [])
    }
  })

  t.test('nowhere else, whatever the bytes are', async (t) => {
    const odd = [
      '',
      '"item_reference"',
      '{"type":"item_reference"',
      '{"type":"item_reference"}',
      '{"type":"item_reference","id":7}',
      '{"type":"item_reference","id":""}',
      '{"name":"item_reference","id":"msg_1"}',
      `{"type":"item_reference","x":"${'x'.repeat(300)}","id":"msg_1"}`
    ]
    for (const text of odd) t.same(itemReferencesOf(Buffer.from(text)), [], text.slice(0, 50))
    t.same(itemReferencesOf(new Uint8Array([0xff, 0xfe, 0x22])), [])
  })

  t.test('in part of a larger buffer', async (t) => {
    const bytes = Buffer.from(
      '{"type":"item_reference","id":"a"}{"type":"item_reference","id":"b"}'
    )
    t.same(itemReferencesOf(bytes.subarray(0, bytes.length / 2)), ['a'])
  })

  t.test('among thousands in bounded time', async (t) => {
    for (const length of [4999, 5000, 5001]) {
      const items = Array.from({ length }, (_none, index) => reference(`msg_${index}`))
      const ids = itemReferencesOf(Buffer.from(JSON.stringify(items)))
      t.equal(ids.length, Math.min(length, 5000))
    }
  })

  t.test('as parsing would find it', async () => {
    const item = fc.oneof(
      fc.record({ type: fc.constant('item_reference'), id: fc.string({ minLength: 1 }) }),
      fc.record({ type: fc.constant('message'), content: fc.string(), id: fc.string() })
    )
    fc.assert(
      fc.property(fc.array(item), fc.nat(3), (items, indent) => {
        const body = JSON.stringify({ input: items }, null, indent)
        const referred = items.filter(({ type }) => type === 'item_reference').map(({ id }) => id)
        const found = itemReferencesOf(Buffer.from(body))
        for (const id of found) assert.ok(referred.includes(id), `${id} is too much`)
        // An object's ends are looked for in the bytes, and an id of ours has no brackets.
        const usual = referred.filter((id) => !/[{}]/.test(id))
        for (const id of usual) assert.ok(found.includes(id), `${id} is missing`)
      }),
      { numRuns: 1000 }
    )
  })
})

t.test('a reference stands for the item that it names', async (t) => {
  t.test('a message, a call, whatever was kept', async (t) => {
    const { history, toolResults } = convert(
      [
        { role: 'user', content: 'hi' },
        reference('msg_1'),
        reference('fc_1'),
        { type: 'function_call_output', call_id: 'c1', output: 'done' }
      ],
      {
        msg_1: MESSAGE,
        fc_1: { id: 'fc_1', type: 'function_call', call_id: 'c1', name: 'f', arguments: '{"a":1}' }
      }
    )
    t.match(history[1], {
      assistantResponseMessage: {
        content: 'I said so.',
        toolUses: [{ toolUseId: 'c1', name: 'f', input: { a: 1 } }]
      }
    })
    t.match(toolResults, [{ toolUseId: 'c1', status: 'success' }])
  })

  t.test('reasoning may be forgotten', async (t) => {
    const { current, history } = convert([{ role: 'user', content: 'hi' }, reference('rs_1')], {})
    t.equal(current.content, 'hi')
    t.same(history, [])
  })

  t.test('and is refused by name where nothing is kept', async (t) => {
    const missing: readonly (readonly [string, Record<string, unknown> | undefined])[] = [
      ['msg_2', undefined],
      ['msg_2', { msg_1: MESSAGE }],
      ['constructor', {}],
      ['msg_1', { msg_1: 'text' }],
      ['msg_1', { msg_1: reference('msg_1') }]
    ]
    for (const [id, items] of missing) {
      const request = { model: 'auto', input: ['hi', reference(id)] }
      const options = requestOptions(items === undefined ? {} : { answers: [toAnswer(items)] })
      t.match(refusalOf('openai-responses', request, options), {
        code: 'GW_BODY_INVALID',
        status: 400,
        param: 'input[1].id',
        message: new RegExp(`Item with id '${id}' not found.*send the item itself`)
      })
    }
    t.match(refusalOf('openai-responses', { model: 'auto', input: [{ type: 'item_reference' }] }), {
      param: 'input[0].id'
    })
  })

  t.test('and is not taken for an empty message where its type is missing', async (t) => {
    for (const bare of [{ id: 'msg_1' }, { id: 'msg_1', type: null }]) {
      const request = { model: 'auto', input: ['hi', bare, 'go on'] }
      const options = requestOptions({ answers: [toAnswer({ msg_1: MESSAGE })] })
      t.match(refusalOf('openai-responses', request, options), {
        code: 'GW_BODY_INVALID',
        param: 'input[1].type',
        message: /must be "item_reference"/
      })
    }
  })
})

function reference(id: string) {
  return { type: 'item_reference', id }
}

function convert(input: unknown, items: Record<string, unknown>) {
  const tools = [{ type: 'function', name: 'f' }]
  const request = { model: 'auto', input, tools }
  return convertAny('openai-responses', request, requestOptions({ answers: [toAnswer(items)] }))
}

t.test('an item that is referred to again and again is there once', async (t) => {
  const text = 'x'.repeat(100_000)
  const items = { msg_1: { ...MESSAGE, content: [{ type: 'output_text', text }] } }
  const input = [
    { role: 'user', content: 'a' },
    ...Array.from({ length: 1000 }, () => reference('msg_1')),
    { role: 'user', content: 'b' }
  ]
  const body = Buffer.from(JSON.stringify({ model: 'auto', input }))
  const { payload } = convertRequest(
    'openai-responses',
    body,
    requestOptions({ answers: [toAnswer(items)] })
  )
  t.ok(payload.byteLength > 100_000 && payload.byteLength < 110_000)
})
