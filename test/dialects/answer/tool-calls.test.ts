import { deepEqual } from 'node:assert/strict'
import t from 'tap'
import type { CompleteCall } from '../../../src/dialects/answer/stream-part.ts'
import { ToolCalls, type ToolEvent } from '../../../src/dialects/answer/tool-calls.ts'
import { fastestMs, heapGrowth } from '../../helper/cost.ts'
import { array, assert, jsonValue, nat, property, record } from '../../helper/fast-check.ts'
import { summarize, toToolParts } from '../../helper/read-answer.ts'
import { cutAt, sliceBy, tool } from '../../helper/upstream-events.ts'

function read(events: readonly ToolEvent[], names = {}): [readonly CompleteCall[], boolean] {
  const calls = new ToolCalls({ toolNames: names })
  const parts = [...events.flatMap((event) => calls.push(event)), ...calls.end()]
  return [summarize(parts).calls, calls.broken > 0]
}

const call = (id: string, name: string, json: string): CompleteCall => ({ id, name, json })

const cases: readonly [
  name: string,
  events: readonly ToolEvent[],
  calls: readonly CompleteCall[],
  hasBroken: boolean
][] = [
  [
    'a call without input has empty arguments',
    [tool('1', 'f'), tool('1', 'f', { stop: true })],
    [call('1', 'f', '{}')],
    false
  ],
  [
    'fragments are joined as they are',
    [
      tool('1', 'f', { input: '{"a":"\\' }),
      tool('1', 'f', { input: 'u00e9\\"\ud83d' }),
      tool('1', 'f', { input: '\ude00", "n": 12345678901234567890}', stop: true })
    ],
    [call('1', 'f', '{"a":"\\u00e9\\"\ud83d\ude00", "n": 12345678901234567890}')],
    false
  ],
  [
    'a whole object is taken as input',
    [tool('1', 'f', { input: { a: 1 } }), tool('1', 'f', { stop: true })],
    [call('1', 'f', '{"a":1}')],
    false
  ],
  [
    'a whole object replaces the fragments before it',
    [tool('1', 'f', { input: '{"a"' }), tool('1', 'f', { input: { a: 1 }, stop: true })],
    [call('1', 'f', '{"a":1}')],
    false
  ],
  [
    'an empty object at the start is a placeholder',
    [tool('1', 'f', { input: {} }), tool('1', 'f', { input: '{"a":1}', stop: true })],
    [call('1', 'f', '{"a":1}')],
    false
  ],
  [
    'the text of an empty object at the start is a placeholder too',
    [
      tool('1', 'f', { input: '{}' }),
      tool('1', 'f', { input: '' }),
      tool('1', 'f', { input: '{"a":1}', stop: true })
    ],
    [call('1', 'f', '{"a":1}')],
    false
  ],
  [
    'what comes after the stop is a ghost',
    [
      tool('1', 'f', { input: '{"a":1}', stop: true }),
      tool('1', 'f', { input: '{}' }),
      tool('1', 'f'),
      tool('1', 'f', { stop: true })
    ],
    [call('1', 'f', '{"a":1}')],
    false
  ],
  [
    'the first name that is one counts',
    [tool('1', ''), tool('1', 'f'), tool('1', 'g', { stop: true })],
    [call('1', 'f', '{}')],
    false
  ],
  ['a call without a name is dropped', [tool('1', '', { stop: true })], [], true],
  [
    'a missing stop does not matter when the arguments are whole',
    [tool('1', 'f', { input: '{"a":1}' })],
    [call('1', 'f', '{"a":1}')],
    false
  ],
  ['a call cut off before its arguments is dropped', [tool('1', 'f')], [], true],
  ['a call cut off in its arguments is dropped', [tool('1', 'f', { input: '{"a' })], [], true],
  [
    'a stop does not make broken arguments whole',
    [tool('1', 'f', { input: '{"a":1', stop: true })],
    [],
    true
  ],
  ['no lenient parser is at work', [tool('1', 'f', { input: '{"a":1,}', stop: true })], [], true],
  ['arguments must be an object', [tool('1', 'f', { input: '[1]', stop: true })], [], true],
  [
    'the next call ends one that is whole',
    [tool('1', 'f', { input: '{"a":1}' }), tool('2', 'g', { stop: true })],
    [call('1', 'f', '{"a":1}'), call('2', 'g', '{}')],
    false
  ],
  [
    'the next call ends one that has no arguments',
    [tool('1', 'f'), tool('2', 'g', { stop: true })],
    [call('1', 'f', '{}'), call('2', 'g', '{}')],
    false
  ],
  [
    'a broken call does not take the next one with it',
    [tool('1', 'f', { input: '{"a' }), tool('2', 'g', { stop: true })],
    [call('2', 'g', '{}')],
    true
  ],
  [
    'a placeholder is none the less one when the next call begins behind it',
    [
      tool('1', 'f', { input: '{}' }),
      tool('2', 'g', { input: '{"b":2}', stop: true }),
      tool('1', 'f', { input: '{"a":1}' }),
      tool('1', 'f', { stop: true })
    ],
    [call('1', 'f', '{"a":1}'), call('2', 'g', '{"b":2}')],
    false
  ],
  [
    'interleaved calls come out in the order in which they began',
    [
      tool('1', 'f', { input: '{"a"' }),
      tool('2', 'g', { input: '{"b"' }),
      tool('1', 'f', { input: ':1' }),
      tool('2', 'g', { input: ':2}', stop: true }),
      tool('1', 'f', { input: '}', stop: true })
    ],
    [call('1', 'f', '{"a":1}'), call('2', 'g', '{"b":2}')],
    false
  ]
]

for (const [name, events, calls, hasBroken] of cases) {
  t.test(name, async (t) => t.same(read(events), [calls, hasBroken]))
}

t.test('gives the client its own names back, and no inherited ones', async (t) => {
  const names = { short: 'a.very.long.name' }
  t.equal(read([tool('1', 'short', { stop: true })], names)[0][0]?.name, 'a.very.long.name')
  t.equal(read([tool('1', 'toString', { stop: true })], names)[0][0]?.name, 'toString')
})

t.test('push() gives a call out at its stop, not before', async (t) => {
  const calls = new ToolCalls({ toolNames: {} })
  t.same(calls.push(tool('1', 'f', { input: '{}' })), [])
  t.same(calls.push(tool('1', 'f', { stop: true })), toToolParts(call('1', 'f', '{}')))
  t.same(calls.end(), [])
})

t.test('keeps nothing of long arguments that are given out', async (t) => {
  const calls = new ToolCalls({ toolNames: {} })
  calls.push(tool('1', 'f', { input: `{"a":"${'x'.repeat(4096)}` }))
  const grown = await heapGrowth(() => {
    const piece = 'y'.repeat(20)
    for (let count = 0; count < 100_000; count++)
      calls.push(tool('1', 'f', { input: piece + count }))
  })
  t.ok(grown < 1e6, `${grown} bytes of 2.5 MB`)
  t.same(calls.push(tool('1', 'f', { input: '"}', stop: true })).at(-1), { type: 'tool-end' })
})

t.test('drops what can be no call any more, and tells its price', async (t) => {
  let lost = ''
  const calls = new ToolCalls({ toolNames: {}, onLost: (text) => (lost += text) })
  for (const input of ['{"a"', ' 1', '}'.repeat(5000)])
    t.same(calls.push(tool('1', 'f', { input })), [])
  t.same(calls.push(tool('1', 'f', { stop: true })), [])
  t.equal(lost, `{"a" 1${'}'.repeat(5000)}f`)
  t.equal(calls.broken, 1)
})

t.test('a whole object still stands for fragments that were no JSON', async (t) => {
  const calls = new ToolCalls({ toolNames: {} })
  calls.push(tool('1', 'f', { input: '}}' }))
  t.same(summarize(calls.push(tool('1', 'f', { input: { a: 1 }, stop: true }))).calls, [
    call('1', 'f', '{"a":1}')
  ])
})

t.test('a long call that comes once more as a whole is the same call', async (t) => {
  const calls = new ToolCalls({ toolNames: {} })
  const input = { a: 'ä😀'.repeat(2000) }
  for (const piece of sliceBy(JSON.stringify(input), 7))
    calls.push(tool('1', 'f', { input: piece }))
  t.same(calls.push(tool('1', 'f', { input, stop: true })), [{ type: 'tool-end' }])
})

function openMany(count: number): void {
  const calls = new ToolCalls({ toolNames: {} })
  for (let id = 0; id < count; id++) calls.push(tool(`${id}`, 'f', { input: '{"a":1' }))
  for (let id = count; id > 0; id--) calls.push(tool(`${id - 1}`, 'f', { input: '}', stop: true }))
  calls.end()
}

t.test('many calls that are open at once take a time that grows with their number', async (t) => {
  openMany(1000)
  const [short, long] = [fastestMs(() => openMany(10_000)), fastestMs(() => openMany(20_000))]
  t.ok(long < 3 * short + 20, `${short} ms, ${long} ms`)
})

t.test('a long call', async (t) => {
  const long = `{"body":"${'x'.repeat(2040)}`

  t.test('goes out as it comes, from 2048 characters on', async (t) => {
    const calls = new ToolCalls({ toolNames: { f: 'F' } })
    t.same(calls.push(tool('1', 'f', { input: long.slice(0, 2047) })), [])
    const begun = calls.push(tool('1', 'f', { input: long.slice(2047) }))
    t.same(begun[0], { type: 'tool-start', id: '1', name: 'F' })
    t.equal(summarize(begun).calls[0]?.json, long)
    t.same(calls.push(tool('1', 'f', { input: 'abc' })), [{ type: 'tool-delta', json: 'abc' }])
    t.same(calls.push(tool('1', 'f', { input: '"}' })), [{ type: 'tool-delta', json: '"}' }])
    t.same(calls.push(tool('1', 'f', { stop: true })), [{ type: 'tool-end' }])
    t.same([calls.end(), calls.broken > 0], [[], false])
  })

  t.test('that breaks off is told to be cut', async (t) => {
    const calls = new ToolCalls({ toolNames: {} })
    calls.push(tool('1', 'f', { input: long }))
    t.same(calls.end(), [{ type: 'tool-end', isCut: true }])
    t.equal(calls.broken, 1)
  })

  t.test('that is no object is never begun', async (t) => {
    t.same(read([tool('1', 'f', { input: `[${long}`, stop: true })]), [[], true])
  })

  t.test('never ends a piece inside a character', async (t) => {
    const calls = new ToolCalls({ toolNames: {} })
    const begun = calls.push(tool('1', 'f', { input: `${long}\ud83d` }))
    t.equal(summarize(begun).calls[0]?.json, long)
    t.same(calls.push(tool('1', 'f', { input: '\ude00' })), [
      { type: 'tool-delta', json: '\u{1f600}' }
    ])
  })

  t.test('keeps the calls that begin meanwhile waiting', async (t) => {
    const calls = new ToolCalls({ toolNames: {} })
    calls.push(tool('1', 'f', { input: long }))
    t.same(calls.push(tool('2', 'g', { input: '{"a":1}', stop: true })), [])
    const rest = calls.push(tool('1', 'f', { input: '"}', stop: true }))
    t.same(
      rest.map(({ type }) => type),
      ['tool-delta', 'tool-end', 'tool-start', 'tool-delta', 'tool-end']
    )
  })

  t.test('is cut when whole arguments contradict what is out', async (t) => {
    const calls = new ToolCalls({ toolNames: {} })
    calls.push(tool('1', 'f', { input: long }))
    t.same(calls.push(tool('1', 'f', { input: { a: 1 }, stop: true })), [
      { type: 'tool-end', isCut: true }
    ])
  })
})

t.test('a call without an id', async (t) => {
  t.test('gets one', async (t) => {
    const [calls] = read([
      tool('', 'f'),
      tool('', '', { input: '{"a":1}' }),
      tool('', 'f', { stop: true })
    ])
    t.match(calls, [{ id: /^toolu_[0-9a-f]{24}$/, name: 'f', json: '{"a":1}' }])
    t.equal(calls.length, 1)
  })

  t.test('is told from the next one by its stop or its name', async (t) => {
    const [calls] = read([
      tool('', 'f', { input: '{"a":1}', stop: true }),
      tool('', 'f', { input: '{"a":2}' }),
      tool('', 'g', { input: '{}', stop: true })
    ])
    t.same(
      calls.map(({ name, json }) => [name, json]),
      [
        ['f', '{"a":1}'],
        ['f', '{"a":2}'],
        ['g', '{}']
      ]
    )
    t.equal(new Set(calls.map(({ id }) => id)).size, 3)
  })

  t.test('has no ghost', async (t) => {
    const [calls] = read([
      tool('', 'f', { input: '{"a":1}', stop: true }),
      tool('', 'f'),
      tool('', 'f', { stop: true })
    ])
    t.equal(calls.length, 1)
  })
})

t.test('joins arguments cut in slices of every size', async (t) => {
  const json = '{"path":"ä\\\\\\"\\n😀","n":[1,{"x":null}]}'
  for (let size = 1; size <= json.length; size++) {
    const events = sliceBy(json, size).map((input) => tool('1', 'f', { input }))
    t.same(read([...events, tool('1', 'f', { stop: true })]), [[call('1', 'f', json)], false])
  }
})

t.test(
  'delivers any arguments, however they are cut, unless the last piece is missing',
  async () => {
    assert(
      property(record({ a: jsonValue() }), array(nat(), { maxLength: 6 }), (value, places) => {
        const json = JSON.stringify(value)
        const events = cutAt(json, places).map((input) => tool('1', 'f', { input }))
        deepEqual(read(events), [[call('1', 'f', json)], false])
        const cut = sliceBy(json.slice(0, -1), 3).map((input) => tool('1', 'f', { input }))
        deepEqual(read([...cut, tool('1', 'f', { stop: true })]), [[], true])
      })
    )
  }
)
