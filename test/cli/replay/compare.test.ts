import t from 'tap'
import { Coverage } from '../../../src/cli/replay/answer-pieces.ts'
import { compareAnswers, compareRequests, countEvents } from '../../../src/cli/replay/compare.ts'

const USUAL = { isPrefix: false }

function sse(...events: readonly object[]): Buffer {
  const texts = events.map((event) => `event: delta\ndata: ${JSON.stringify(event)}\n\n`)
  return Buffer.from(texts.join(''))
}

function id(letter: string): string {
  return `msg_${letter.repeat(24)}`
}

/** Whether it does so, and that in the same place however it is cut. */
function covers(answer: Buffer, other: Buffer): boolean {
  const place = coveredAt(answer, other, 1)
  for (const size of [7, 64, answer.length]) {
    const expected = place === null ? null : Math.floor(place / size)
    const found = coveredAt(answer, other, size)
    if ((found === null ? null : found / size) !== expected) throw new Error(`cut by ${size}`)
  }
  return place !== null
}

/** Where the chunk begins with which it does so. */
function coveredAt(answer: Buffer, other: Buffer, size: number): number | null {
  const coverage = new Coverage(other)
  for (let at = 0; at < answer.length; at += size) {
    if (coverage.push(answer.subarray(at, at + size))) return at
  }
  return null
}

function piece(value: object): Buffer {
  return Buffer.from(JSON.stringify(value))
}

function request(text: string, uuid: string): object {
  return { conversationId: uuid, text }
}

t.test('ids, times and heartbeats differ by nature', async (t) => {
  const was = sse({ id: id('a'), created: 1 }, { parent: id('a'), other: id('b') })
  const is = Buffer.concat([
    Buffer.from(': ping\n\n'),
    sse({ id: id('c'), created: 2 }),
    Buffer.from('event: ping\ndata: {"type":"ping"}\n\n'),
    sse({ parent: id('c'), other: id('d') })
  ])
  t.equal(compareAnswers(was, is, USUAL), null)
  t.equal(countEvents(is), 2)
  const confused = sse({ id: id('c'), created: 2 }, { parent: id('d'), other: id('c') })
  t.match(
    compareAnswers(was, confused, USUAL),
    { number: 2, pointer: '/parent' },
    'not which is which'
  )
})

t.test('shows the first place that differs', async (t) => {
  const was = sse({ a: 1 }, { b: [{ 'x/y': 'one' }] }, { c: 1 })
  const is = sse({ a: 1 }, { b: [{ 'x/y': 'two' }] }, { c: 2 })
  t.same(compareAnswers(was, is, USUAL), {
    part: 'answer',
    number: 2,
    name: 'delta',
    pointer: '/b/0/x~1y',
    was: '"one"',
    is: '"two"'
  })
})

t.test('a text is the same however it was cut into events', async (t) => {
  const end = { type: 'end' }
  const forms: readonly ((text: string, index: number) => object)[] = [
    (text, index) => ({
      choices: [{ index: 0, delta: { ...(index === 0 && { role: 'assistant' }), content: text } }]
    }),
    (text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
    (text, index) => ({ type: 'response.output_text.delta', sequence_number: index, delta: text })
  ]
  for (const form of forms) {
    const said = (...texts: readonly string[]) => texts.map(form)
    const [one, many] = [said('say "a" \\ b'), said('sa', 'y "a"', ' \\ ', 'b')]
    t.equal(compareAnswers(sse(...one, end), sse(...many, end), USUAL), null)
    t.equal(compareAnswers(sse(...many, end), sse(...one, end), USUAL), null)
    t.match(compareAnswers(sse(...many), sse(...said('say "a" \\ c')), USUAL), { number: 1 })
    t.equal(covers(sse(...said('sa', 'y')), sse(...said('say'))), true)
    t.equal(covers(sse(...said('sa')), sse(...said('say'))), false, 'though it has as many events')
    t.equal(covers(sse(...one, end), sse(...many)), true)
    t.match(compareAnswers(sse(...many, end), sse(...one), USUAL), { number: 2, is: null })
    t.equal(
      compareAnswers(sse(...said('sa', 'y "a')), sse(...one, end), { ...USUAL, isPrefix: true }),
      null,
      'the client had left inside of it'
    )
  }
  const [text, thought] = ['text', 'thinking'].map((type) => ({
    delta: { type: `${type}_delta`, [type]: 'a' }
  }))
  t.match(compareAnswers(sse(text ?? {}, text ?? {}), sse(text ?? {}, thought ?? {}), USUAL), {
    number: 1
  })
})

t.test('an answer of many megabytes, in one piece and in many', async (t) => {
  const [long, cut] = ['"ü\\'.repeat(1_000_000), 'ü" '.repeat(20)]
  t.equal(compareAnswers(sse({ delta: long }), sse({ delta: long }), USUAL), null)
  t.match(compareAnswers(sse({ delta: long }), sse({ delta: `${long}.` }), USUAL), { number: 1 })

  const [answer, other] = [20_000, 19_999].map((count) =>
    sse(...Array.from({ length: count }, () => ({ delta: cut })))
  )
  const [all, part] = [answer ?? Buffer.alloc(0), other ?? Buffer.alloc(0)]
  const last = Math.floor((part.length - 1) / 200) * 200
  t.equal(coveredAt(all, part, 200), last, 'no sooner, no later')
})

t.test('where a piece differs, and what stands beside it', async (t) => {
  t.match(compareAnswers(sse({ delta: 'abc', k: 1 }), sse({ delta: 'abd', k: 1 }), USUAL), {
    pointer: '/delta',
    was: '"abc"',
    is: '"abd"'
  })
  t.match(compareAnswers(sse({ delta: 'abc', k: 1 }), sse({ delta: 'abc', k: 2 }), USUAL), {
    pointer: '/k',
    was: '1',
    is: '2'
  })
})

t.test('an answer in one piece goes as far as another of its length', async (t) => {
  const body = piece({ text: 'ü'.repeat(100) })
  t.equal(covers(body, body), true)
  t.equal(covers(body.subarray(0, -1), body), false)
  t.equal(covers(body, sse({ delta: 'a' })), false, 'and never as far as a stream')
})

t.test('what is missing, and what is too much', async (t) => {
  const [short, long] = [sse({ a: 1 }), sse({ a: 1 }, { b: 2 })]
  t.match(compareAnswers(long, short, USUAL), { number: 2, was: '{"b":2}', is: null })
  t.match(compareAnswers(short, long, USUAL), { number: 2, was: null, is: '{"b":2}' })
  t.equal(compareAnswers(short, long, { ...USUAL, isPrefix: true }), null, 'the client had left')
  t.match(compareAnswers(sse({ a: 1 }), sse({}), USUAL), { pointer: '/a', was: '1', is: null })
})

t.test('an answer in one piece, and one that is no JSON', async (t) => {
  t.match(compareAnswers(piece({ a: { b: 1 } }), piece({ a: { b: 2 } }), USUAL), {
    pointer: '/a/b'
  })
  t.match(compareAnswers(Buffer.from('x'), Buffer.from('y'), USUAL), { was: 'x', is: 'y' })
  t.equal(compareAnswers(Buffer.alloc(0), Buffer.alloc(0), USUAL), null)
})

t.test('counts of tokens depend on what has been learnt, and are no difference', async (t) => {
  const was = sse({ usage: { input_tokens: 3, hidden_tokens: 0, output_tokens: 39 }, a: 1 })
  const is = { usage: { input_tokens: 4, output_tokens: 40, tokens_within: 0.1 }, a: 1 }
  t.equal(compareAnswers(was, sse(is), USUAL), null)
  t.match(compareAnswers(was, sse({ ...is, a: 2 }), USUAL), { pointer: '/a' })
})

t.test('requests to the upstream, without their profile', async (t) => {
  const [one, other] = [
    '11111111-2222-3333-4444-555555555555',
    '99999999-2222-3333-4444-555555555555'
  ]
  const was = piece(request('a', one))
  const is = piece({ profileArn: 'arn:…', ...request('a', other) })
  t.equal(compareRequests(was, is, 1), null)
  const changed = piece(request('b', other))
  t.match(compareRequests(was, changed, 3), {
    part: 'upstream-request',
    number: 3,
    pointer: '/text'
  })
})
