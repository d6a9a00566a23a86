import { deepEqual, equal } from 'node:assert/strict'
import t from 'tap'
import { charCounter } from '../../helper/char-counter.ts'
import { type AnswerRoom, ENDLESS_ROOM } from '../../../src/dialects/answer/output-text.ts'
import { PartReader } from '../../../src/dialects/answer/part-reader.ts'
import type { ReplyPlan } from '../../../src/dialects/plan/plan.ts'
import type { UpstreamEvent } from '../../../src/kiro/wire/event.ts'
import {
  array,
  assert,
  constantFrom,
  nat,
  oneof,
  property,
  record,
  string,
  codePoint
} from '../../helper/fast-check.ts'
import { readParts, summarize } from '../../helper/read-answer.ts'
import { replyPlan } from '../../helper/reply-plan.ts'
import { closing, cutAt, sliceBy, text, tool } from '../../helper/upstream-events.ts'

const plain = replyPlan()
const TextForm = { parameters: { a: 'text' }, required: [] } as const

function contextWindowOf(modelId: string): number | undefined {
  return modelId === 'big' ? 1_000_000 : undefined
}

function types(events: readonly UpstreamEvent[], plan = plain): readonly string[] {
  return readParts(plan, events).map((part) => part.type)
}

function textAndCall(json: string): readonly UpstreamEvent[] {
  return [text('x'), tool('1', 'f', { input: json, stop: true })]
}

t.test('push()', async (t) => {
  t.test('hands text on at once and as it is', async (t) => {
    const reader = new PartReader(plain)
    t.same(reader.push(text(' a\n')), [{ type: 'text', text: ' a\n' }])
    t.same(reader.push(text('a\n')), [{ type: 'text', text: 'a\n' }])
  })

  t.test('keeps repeated deltas', async (t) => {
    const events = [text('\n'), text('\n'), text('ha'), text('ha'), ...closing()]
    t.equal(summarize(readParts(plain, events)).text, '\n\nhaha')
  })

  t.test('makes nothing of empty text, ignored events and exceptions', async (t) => {
    const reader = new PartReader(plain)
    t.same(reader.push(text('')), [])
    t.same(reader.push({ type: 'ignored', eventType: 'followupPromptEvent' }), [])
    t.same(reader.push({ type: 'exception', name: 'X', message: 'y' }), [])
    t.match(reader.end(), [{ type: 'end', reason: 'stop' }])
  })

  t.test('hands a call on when it is whole', async (t) => {
    const reader = new PartReader(plain)
    t.same(reader.push(tool('1', 'f', { input: '{"a"' })), [])
    t.same(reader.push(tool('1', 'f', { input: ':1}' })), [])
    t.same(reader.push(tool('1', 'f', { stop: true })), [
      { type: 'tool-start', id: '1', name: 'f' },
      { type: 'tool-delta', json: '{"a":1}' },
      { type: 'tool-end' }
    ])
  })

  t.test('gives tools back the names that the client gave them', async (t) => {
    const plan = replyPlan({ toolNames: { a1: 'mcp__server__a.b' } })
    const { calls } = summarize(readParts(plan, [tool('1', 'a1', { stop: true })]))
    t.equal(calls[0]?.name, 'mcp__server__a.b')
  })

  t.test('delivers only the first call where one was asked for', async (t) => {
    const plan = replyPlan({ isSingleToolCall: true })
    const events = [tool('1', 'f', { stop: true }), tool('2', 'g', { stop: true }), ...closing()]
    const { calls, reason } = summarize(readParts(plan, events))
    t.same(calls, [{ id: '1', name: 'f', json: '{}' }])
    t.equal(reason, 'tool')
  })
})

t.test('reasoning', async (t) => {
  const events: readonly UpstreamEvent[] = [
    { type: 'reasoning', text: 'hm' },
    { type: 'reasoning', signature: 's' },
    { type: 'reasoning', redacted: 'YQ==' },
    text('a'),
    ...closing()
  ]

  t.test('goes to those who asked', async (t) => {
    const expected = ['reasoning', 'signature', 'redacted', 'text', 'end']
    t.same(types(events, replyPlan({ reasoning: 'native' })), expected)
    t.same(types(events, replyPlan({ reasoning: 'tags' })), expected)
  })

  t.test('goes to nobody else, but counts as output', async (t) => {
    t.same(types(events), ['text', 'end'])
    const options = { newCounter: () => charCounter() }
    t.match(readParts(plain, events, options).at(-1), { usage: { outputTokens: 3 } })
  })

  t.test('in tags stays text unless tags were asked for', async (t) => {
    const tagged = [text('<think>a</think>b'), ...closing()]
    t.equal(summarize(readParts(plain, tagged)).text, '<think>a</think>b')
    t.match(summarize(readParts(replyPlan({ reasoning: 'tags' }), tagged)), {
      reasoning: 'a',
      text: 'b'
    })
  })
})

t.test('held text goes before what comes next', async (t) => {
  const plan = replyPlan({ stopSequences: ['END'], reasoning: 'native' })
  t.test('before a call', async (t) => {
    const events = [text('aE'), tool('1', 'f', { stop: true }), text('ND'), ...closing()]
    t.same(types(events, plan), [
      'text',
      'text',
      'tool-start',
      'tool-delta',
      'tool-end',
      'text',
      'end'
    ])
  })

  t.test('before reasoning', async (t) => {
    const events = [text('aE'), { type: 'reasoning', text: 'x' } as const, ...closing()]
    t.same(types(events, plan), ['text', 'text', 'reasoning', 'end'])
  })

  t.test('before the end', async (t) => {
    t.equal(summarize(readParts(plan, [text('aEN'), ...closing()])).text, 'aEN')
  })
})

t.test('a stop sequence', async (t) => {
  const plan = replyPlan({ stopSequences: ['END'] })

  t.test('ends everything but the end itself', async (t) => {
    const reader = new PartReader(plan)
    t.same(reader.push(text('aEND')), [{ type: 'text', text: 'a' }])
    t.ok(reader.isStopped)
    t.same(reader.push(text('b')), [])
    t.same(reader.push(tool('1', 'f', { stop: true })), [])
    t.match(reader.end(), [
      { type: 'end', reason: 'stop-sequence', stopSequence: 'END', usage: { inputTokens: 900 } }
    ])
  })

  t.test('loses nothing of the text before it that was held for another reason', async (t) => {
    const stopSequences = ['STOP']
    const textCallForms = { f: { parameters: {}, required: [] } }
    const forms = replyPlan({ stopSequences, textCallForms })
    const json = replyPlan({ stopSequences, isJsonAnswer: true })
    for (const [plan, before, said] of [
      [forms, 'See:\n[Called f with args: {} as text ', undefined],
      [forms, 'See:\n[', undefined],
      [json, '```json\n{"a":1}\n```', '{"a":1}'],
      [json, '```js', undefined]
    ] as const) {
      const whole = `${before}STOP and more`
      for (let size = 1; size <= whole.length; size++) {
        const parts = readParts(plan, [...sliceBy(whole, size).map(text), ...closing()])
        t.match(summarize(parts), { text: said ?? before, reason: 'stop-sequence' }, `by ${size}`)
      }
    }
  })

  t.test('drops a call that was open', async (t) => {
    const events = [tool('1', 'f', { input: '{}' }), text('END')]
    t.same(types(events, plan), ['end'])
  })

  t.test('is not looked for in reasoning and arguments', async (t) => {
    const native = replyPlan({ stopSequences: ['END'], reasoning: 'native' })
    const events = [
      { type: 'reasoning', text: 'END' } as const,
      tool('1', 'f', { input: '{"a":"END"}', stop: true }),
      ...closing()
    ]
    t.match(summarize(readParts(native, events)), { reasoning: 'END', reason: 'tool' })
  })
})

t.test('end()', async (t) => {
  const cases: readonly [name: string, events: readonly UpstreamEvent[], reason: string][] = [
    ['an answer that the upstream finished', [text('a'), ...closing()], 'stop'],
    ['a text without any closing event', [text('a')], 'stop'],
    ['a text with metering only', [text('a'), { type: 'metering', credits: 1 }], 'stop'],
    ['a text with usage only', [text('a'), { type: 'context-usage', percentage: 1 }], 'stop'],
    ['no answer at all', [], 'stop'],
    ['a call without any closing event', [tool('1', 'f', { stop: true })], 'tool'],
    ['a truncated call', [tool('1', 'f', { input: '{"a' }), ...closing('TOOL_USE')], 'length'],
    [
      'a truncated call after a whole one',
      [tool('1', 'f', { stop: true }), tool('2', 'g', { input: '{' })],
      'tool'
    ],
    ['a full window', [text('a'), { type: 'context-usage', percentage: 100 }], 'context'],
    ['the limit of the model', [text('a'), ...closing('MAX_TOKENS')], 'length'],
    ['a filtered answer', [text('a'), ...closing('content_filtered')], 'filter']
  ]
  for (const [name, events, reason] of cases) {
    t.test(`${name} ends by ${reason}`, async (t) => {
      t.equal(summarize(readParts(plain, events)).reason, reason)
    })
  }

  t.test('of a JSON answer takes the fence off', async (t) => {
    const plan = replyPlan({ isJsonAnswer: true })
    const events = [text('```json\n{"title":'), text('"x"}\n``'), text('`\n'), ...closing()]
    t.equal(summarize(readParts(plan, events)).text, '{"title":"x"}')
  })
})

t.test('while a long call is being given out', async (t) => {
  const native = replyPlan({ reasoning: 'native' })
  const long = `{"body":"${'x'.repeat(3000)}`

  t.test('text and reasoning wait for its end', async (t) => {
    const events = [
      tool('1', 'f', { input: long }),
      text('b'),
      { type: 'reasoning', text: 'r' } as const,
      tool('1', 'f', { input: '"}', stop: true }),
      text('c'),
      ...closing()
    ]
    const parts = readParts(native, events)
    t.same(
      parts.map(({ type }) => type).filter((type) => type !== 'tool-delta'),
      ['tool-start', 'tool-end', 'text', 'reasoning', 'text', 'end']
    )
    t.match(summarize(parts), { text: 'bc', reasoning: 'r', reason: 'tool' })
  })

  t.test('its break is an end by length', async (t) => {
    const parts = readParts(native, [tool('1', 'f', { input: long }), text('b')])
    t.match(parts.at(-3), { type: 'tool-end', isCut: true })
    t.match(summarize(parts), { text: 'b', reason: 'length' })
  })

  t.test(
    'its break is an end by length for who has seen it, though a whole call follows',
    async (t) => {
      const whole = tool('2', 'g', { input: '{"a":1}', stop: true })
      const events = [
        tool('1', 'f', { input: long }),
        tool('1', 'f', { stop: true }),
        whole,
        ...closing()
      ]
      t.match(summarize(readParts(streamed(true), events)), { reason: 'length' })
      // Collected, the broken one is left out.
      t.match(summarize(readParts(streamed(false), events)), { reason: 'tool' })
    }
  )

  t.test("the client's limit in the middle of a second call is an end by length", async (t) => {
    const plan = replyPlan({ maxOutputTokens: 1500, isStream: true })
    const first = tool('1', 'f', { input: '{"a":1}', stop: true })
    const events = [first, tool('2', 'f', { input: long }), tool('2', 'f', { input: long })]
    t.match(summarize(readParts(plan, events)), { reason: 'length' })
  })
})

t.test(
  'arguments that broke off count as what the model said, not as what it was asked',
  async (t) => {
    const plan = replyPlan({ contextWindow: 1_000_000 })
    for (const chars of [1000, 3000]) {
      const json = `{"a":"${'x'.repeat(chars)}`
      for (let size = 100; size <= json.length + 100; size += 100) {
        const calls = sliceBy(json, size).map((input) => tool('1', 'f', { input }))
        const events = [text('y'), ...calls, ...closing()]
        const outputTokens = 'y'.length + 'f'.length + json.length
        // 1.5 % of the window: 15,000 tokens in all.
        t.match(readParts(plan, events, { newCounter: () => charCounter() }).at(-1), {
          reason: 'length',
          usage: { inputTokens: 15_000 - outputTokens, outputTokens }
        })
      }
    }
  }
)

t.test("the client's limit", async (t) => {
  const limited = replyPlan({ maxOutputTokens: 36, reasoning: 'native' })
  const options = { newCounter: () => charCounter() }

  t.test('cuts text wherever the upstream cut it', async (t) => {
    const whole = 'abcdefgh'.repeat(20)
    for (let size = 1; size < whole.length; size++) {
      const parts = readParts(limited, [...sliceBy(whole, size).map(text), ...closing()], options)
      t.match(summarize(parts), { text: whole.slice(0, 36), reason: 'length' })
    }
  })

  t.test(
    'met in reasoning ends the answer there, whatever stands behind it in one piece',
    async (t) => {
      const plan = replyPlan({ reasoning: 'tags', maxOutputTokens: 3, stopSequences: ['STOP'] })
      const told = '<thinking>one two three four five six</thinking>The answer STOP here'
      for (const events of [[text(told)], sliceBy(told, 7).map(text)]) {
        const parts = readParts(plan, [...events, ...closing()])
        t.equal(summarize(parts).text, '')
        t.match(parts.at(-1), { type: 'end', reason: 'length', usage: { outputTokens: 3 } })
      }
    }
  )

  t.test('comes before a stop string behind it, wherever the upstream cut the text', async (t) => {
    const plan = replyPlan({ maxOutputTokens: 36, stopSequences: ['END'] })
    for (const [before, end] of [
      [36, { reason: 'stop-sequence', stopSequence: 'END' }],
      [37, { reason: 'length', stopSequence: undefined }]
    ] as const) {
      const whole = `${'x'.repeat(before)}END and more`
      for (let size = 1; size <= whole.length; size++) {
        const parts = readParts(plan, [...sliceBy(whole, size).map(text), ...closing()], options)
        t.match(parts.at(-1), end, `${before} characters in slices of ${size}`)
        t.equal(summarize(parts).text, 'x'.repeat(36))
      }
    }
  })

  t.test('never halves a character', async (t) => {
    const parts = readParts(
      replyPlan({ maxOutputTokens: 3 }),
      [text('\u{1f600}'.repeat(9))],
      options
    )
    t.equal(summarize(parts).text, '\u{1f600}')
  })

  t.test('leaves alone what just fits', async (t) => {
    const parts = readParts(limited, [text('x'.repeat(36)), ...closing()], options)
    t.match(summarize(parts), { text: 'x'.repeat(36), reason: 'stop' })
  })

  t.test('counts reasoning', async (t) => {
    const events = [{ type: 'reasoning', text: 'x'.repeat(30) } as const, text('y'.repeat(30))]
    const { reasoning, text: said, reason } = summarize(readParts(limited, events, options))
    t.same([reasoning.length, said.length, reason], [30, 6, 'length'])
  })

  t.test('is never exceeded by the usage that the client is told', async (t) => {
    for (let size = 1; size <= 90; size++) {
      const thought = { type: 'reasoning', text: 'x'.repeat(20) } as const
      const said = sliceBy('y'.repeat(90), size).map(text)
      const end = readParts(limited, [thought, ...said, ...closing()], options).at(-1)
      t.match(end, { reason: 'length', usage: { outputTokens: 36, reasoningTokens: 20 } })
      const thoughts = { type: 'reasoning', text: 'x'.repeat(90) } as const
      t.match(readParts(limited, [thoughts, ...said], options).at(-1), {
        usage: { outputTokens: 36, reasoningTokens: 36 }
      })
    }
  })

  t.test('takes a call as a whole or not at all', async (t) => {
    t.match(summarize(readParts(limited, textAndCall('{"a":1}'), options)), {
      calls: [{ id: '1' }],
      reason: 'tool'
    })
    const tooLong = summarize(readParts(limited, textAndCall(`{"a":"${'x'.repeat(40)}"}`), options))
    t.same([tooLong.calls, tooLong.reason], [[], 'length'])
  })

  t.test('cuts off a call that is on its way', async (t) => {
    const plan = replyPlan({ maxOutputTokens: 1000 })
    const reader = new PartReader(plan)
    const begun = reader.push(tool('1', 'f', { input: `{"a":"${'x'.repeat(3000)}` }))
    t.match(begun[0], { type: 'tool-start' })
    const parts = reader.push(tool('1', 'f', { input: 'y'.repeat(3000) }))
    t.same(parts.at(-1), { type: 'tool-end', isCut: true })
    t.ok(reader.isStopped)
    t.match(reader.end(), [{ type: 'end', reason: 'length' }])
  })
})

t.test('a call written as text', async (t) => {
  const plan = replyPlan({
    textCallForms: { write: { parameters: { path: 'text', size: 'json' }, required: ['path'] } }
  })
  const written = '[Called write with args: {"path":"a]}\\"","size":1}]'

  t.test('is a call where the answer is nothing else from there on', async (t) => {
    for (let size = 1; size <= written.length; size++) {
      const events = [text('Sure.\n'), ...sliceBy(written, size).map(text), ...closing()]
      const { text: said, calls, reason } = summarize(readParts(plan, events))
      t.same([said, calls[0]?.json, reason], ['Sure.\n', '{"path":"a]}\\"","size":1}', 'tool'])
    }
  })

  t.test(
    'stays text after a real call, before more text, and with a real one behind it',
    async (t) => {
      const real = tool('1', 'write', { input: '{"path":"b"}', stop: true })
      for (const events of [
        [real, text(written)],
        [text(written), text('\nDone.')],
        [text(written), real],
        [text(written), tool('1', 'write', { input: '{"path":"b"}' })],
        [text(written), tool('1', 'write', { input: '{"path":"b' })]
      ]) {
        const { text: said, calls } = summarize(readParts(plan, [...events, ...closing()]))
        t.ok(said.includes(written))
        t.ok(calls.length <= 1 && calls.every(({ id }) => id === '1'))
      }
    }
  )
})

t.test('the percentage of the window counts wherever it comes', async (t) => {
  const event = { type: 'metadata', contextUsagePercentage: 10 } as const
  t.match(readParts(plain, [text('a'), event], { newCounter: () => charCounter(1) }).at(-1), {
    usage: { inputTokens: 19_999 }
  })
})

t.test('cutOff() is an end by length', async (t) => {
  const reader = new PartReader(replyPlan({ stopSequences: ['END'] }))
  reader.push(text('aE'))
  t.match(reader.cutOff(), [
    { type: 'text', text: 'E' },
    { type: 'end', reason: 'length' }
  ])
})

t.test('usage', async (t) => {
  const percentage = { type: 'context-usage', percentage: 10 } as const

  t.test('takes the window of the model that answered', async (t) => {
    const plan = replyPlan({ upstreamModel: 'auto' })
    const answer = { type: 'text', text: 'a', modelId: 'big' } as const
    const options = { newCounter: () => charCounter(1), contextWindowOf }
    const known = readParts(plan, [answer, percentage], options).at(-1)
    t.match(known, { usage: { inputTokens: 99_999, outputTokens: 1 } })
    const other = readParts(plan, [{ ...answer, modelId: 'new' }, percentage], options).at(-1)
    t.match(other, { usage: { inputTokens: 19_999 } })
  })

  t.test('counts text, reasoning, names and arguments', async (t) => {
    const events = [
      { type: 'reasoning', text: 'ab' } as const,
      text('cde'),
      tool('1', 'fn', { input: '{"a":1}', stop: true })
    ]
    const options = { newCounter: () => charCounter() }
    t.match(readParts(replyPlan({ reasoning: 'native' }), events, options).at(-1), {
      usage: { outputTokens: 14, reasoningTokens: 2 }
    })
  })
})

t.test('loses and doubles nothing, however the upstream cuts it', async () => {
  const piece = oneof(
    record({ words: string({ unit: codePoint, minLength: 1, maxLength: 30 }) }),
    record({ input: string({ maxLength: 10 }) })
  )
  const plans = constantFrom(
    plain,
    replyPlan({ stopSequences: ['\u0000never\u0000'] }),
    replyPlan({ reasoning: 'tags', stopSequences: ['\u0000no'] }),
    replyPlan({ isJsonAnswer: true })
  )
  assert(
    property(
      plans,
      array(piece, { maxLength: 8 }),
      array(nat(), { maxLength: 5 }),
      (plan, list, cuts) => {
        const events = list.flatMap((item, index) => {
          if ('words' in item) return cutAt(`x${item.words}`, cuts).map(text)
          const json = JSON.stringify({ a: item.input })
          const pieces = cutAt(json, cuts).map((input) => tool(`t${index}`, 'f', { input }))
          return [...pieces, tool(`t${index}`, 'f', { stop: true })]
        })
        const { text: whole, calls } = summarize(readParts(plan, [...events, ...closing()]))
        equal(whole, list.map((item) => ('words' in item ? `x${item.words}` : '')).join(''))
        deepEqual(
          calls.map((call) => call.json),
          list.flatMap((item) => ('input' in item ? [JSON.stringify({ a: item.input })] : []))
        )
      }
    )
  )
})

/** Room for so many bytes that are said. */
function roomFor(bytes: number): AnswerRoom {
  let left = bytes
  return {
    get isFull() {
      return left < 0
    },
    say: (more) => (left -= more) >= 0,
    hold: () => true,
    free: () => {}
  }
}

/** Endless, and knows what is held. */
function countingRoom() {
  const held = { bytes: 0, most: 0 }
  const hold = (bytes: number): boolean => {
    held.bytes += bytes
    held.most = Math.max(held.most, held.bytes)
    return true
  }
  const free = (bytes: number): void => {
    held.bytes -= bytes
  }
  return { held, room: { ...ENDLESS_ROOM, hold, free } }
}

t.test('what was held is given back as soon as it is out', async (t) => {
  const json = JSON.stringify({ a: 'x'.repeat(2000) })

  t.test('for each of many calls', async (t) => {
    const { held, room } = countingRoom()
    const reader = new PartReader(plain, { room })
    for (let count = 0; count < 1000; count++) {
      reader.push(tool(`t${count}`, 'f', { input: json.slice(0, 900) }))
      reader.push(tool(`t${count}`, 'f', { input: json.slice(900), stop: true }))
    }
    t.ok(held.most < 1000 * 140 + 10_000, `${held.most} bytes held`)
    t.ok(held.bytes >= 1000 * 128, 'their ids are still there')
  })

  t.test('for calls and words that waited for another', async (t) => {
    const { held, room } = countingRoom()
    const reader = new PartReader(plain, { room })
    reader.push(tool('1', 'f', { input: json.slice(0, -1).padEnd(3000) }))
    for (let count = 0; count < 100; count++) {
      reader.push(tool(`t${count}`, 'f', { input: json, stop: true }))
      reader.push(text('and '.repeat(100)))
    }
    t.ok(held.most > 400_000)
    reader.push(tool('1', 'f', { input: '}', stop: true }))
    t.ok(held.bytes < 100 * 140 + 10_000, `${held.bytes} bytes held`)
  })

  for (const [what, changes, opening] of [
    ['text that may have been a call', { textCallForms: { f: TextForm } }, '[Called f with args: '],
    ['a fenced answer', { isJsonAnswer: true }, '```json\n']
  ] as const) {
    t.test(`for ${what}`, async (t) => {
      const { held, room } = countingRoom()
      const reader = new PartReader(replyPlan(changes), { room })
      reader.push(text(opening))
      reader.push(text('x'.repeat(10_000)))
      t.ok(held.bytes >= 20_000)
      reader.end()
      t.equal(held.bytes, 0)
    })
  }
})

t.test('an answer for which there is no more room', async (t) => {
  t.test('ends as one that was cut short', async (t) => {
    const room = roomFor(5)
    const reader = new PartReader(plain, { room })
    t.same(reader.push(text('Hello')), [{ type: 'text', text: 'Hello' }])
    t.notOk(reader.isStopped)
    t.same(reader.push(text('!')), [])
    t.ok(reader.isStopped)
    t.match(reader.end(), [{ type: 'end', reason: 'length' }])
  })

  t.test('breaks the call off that a client has half of', async (t) => {
    const reader = new PartReader(plain, { room: roomFor(4000) })
    reader.push(tool('1', 'f', { input: `{"a":"${'x'.repeat(3000)}` }))
    reader.push(text('behind it'))
    reader.push(tool('1', 'f', { input: 'y'.repeat(3000) }))
    t.match(reader.end(), [
      { type: 'tool-end', isCut: true },
      { type: 'end', reason: 'length' }
    ])
  })

  t.test('is incomplete although its calls are whole', async (t) => {
    const reader = new PartReader(plain, { room: roomFor(10) })
    reader.push(tool('1', 'f', { input: '{"a":1}', stop: true }))
    reader.push(text('more than that'))
    t.match(reader.end(), [{ type: 'end', reason: 'length' }])
  })

  t.test('gives out what was held for what it might have become', async (t) => {
    const plan = replyPlan({ isJsonAnswer: true })
    const reader = new PartReader(plan, { room: roomFor(12) })
    t.same(reader.push(text('```json\n{')), [])
    reader.push(text('"a":1}'))
    t.match(reader.end(), [
      { type: 'text', text: '```json\n{' },
      { type: 'end', reason: 'length' }
    ])
  })

  t.test('counts objects as they are written out', async (t) => {
    const reader = new PartReader(plain, { room: roomFor(1000) })
    reader.push(tool('1', 'f', { input: { a: 'x'.repeat(1000) }, stop: true }))
    t.match(reader.end(), [{ type: 'end', reason: 'length' }])
  })
})

function streamed(isStream: boolean): ReplyPlan {
  return replyPlan({ reasoning: 'native', isStream })
}
