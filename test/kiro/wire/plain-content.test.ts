import t from 'tap'
import { plainContent as contentOf } from '../../../src/kiro/wire/event.ts'
import {
  array,
  assert,
  constantFrom,
  oneof,
  property,
  string,
  uint8Array
} from '../../helper/fast-check.ts'

/** What JSON.parse makes of a payload of this shape; null if it is none. */
function parsed(payload: Buffer): unknown {
  try {
    const value: unknown = JSON.parse(payload.toString())
    return Object.keys(value as object).join() === 'content'
      ? Reflect.get(Object(value), 'content')
      : null
  } catch {
    return null
  }
}

/** Reads a payload between other bytes. */
function plainContent(payload: Buffer): string | null {
  const bytes = Buffer.concat([Buffer.from('{"content":"'), payload, Buffer.from('"}')])
  return contentOf({ bytes, payloadStart: 12, payloadEnd: 12 + payload.length })
}

const around = (inner: Uint8Array | string): Buffer =>
  Buffer.concat([Buffer.from('{"content":"'), Buffer.from(inner), Buffer.from('"}')])

t.test('plainContent()', async (t) => {
  t.test('reads the usual payload', async (t) => {
    for (const text of ['Hi', '', ' ', 'über — 👩‍💻', '}', '{content:', "'", '\u007f', '\u2028']) {
      t.equal(plainContent(around(text)), text)
    }
  })

  t.test('reads escapes', async (t) => {
    for (const text of ['a\n', '"', '\\', '\\"', '"}', '\u0000', 'a\tb\\']) {
      const payload = Buffer.from(JSON.stringify({ content: text }))
      t.equal(plainContent(payload), text, JSON.stringify(text))
    }
    t.equal(plainContent(Buffer.from('{"content":"\\u00e9\\/"}')), 'é/')
  })

  t.test('leaves to JSON.parse what is of any other shape', async (t) => {
    for (const json of [
      '{"content":"a\\x"}',
      '{"content":"a\\"}',
      '{"content":"\\u12"}',
      '{"content":"a\nb"}',
      '{"content": "a"}',
      '{"content":"a" }',
      '{"content":"a"} ',
      ' {"content":"a"}',
      '{"content":"a","modelId":"b"}',
      '{"content":"a","content":"b"}',
      '{"Content":"a"}',
      '{"content":1}',
      '{"content":"}',
      '{"content"}',
      '"}',
      '{}',
      ''
    ]) {
      t.equal(plainContent(Buffer.from(json)), null, json)
    }
  })

  t.test('leaves long payloads to JSON.parse', async (t) => {
    t.equal(plainContent(around('x'.repeat(500)))?.length, 500)
    t.equal(plainContent(around('x'.repeat(501))), null)
  })

  t.test('never says anything else than JSON.parse', async () => {
    const piece = oneof(
      string({ unit: 'binary' }),
      constantFrom('"', '\\', '\\u0041', '"}', '","modelId":"x', '\n', '\u0000', '{"content":"')
    )
    const inner = oneof(
      array(piece, { maxLength: 6 }).map((pieces) => Buffer.from(pieces.join(''))),
      uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
    )
    assert(
      property(inner, (bytes) => {
        const payload = around(bytes)
        const text = plainContent(payload)
        return text === null || text === parsed(payload)
      }),
      { numRuns: 1500 }
    )
  })

  t.test('reads whatever JSON.stringify writes', async () => {
    assert(
      property(string({ unit: 'binary', maxLength: 40 }), (text) => {
        const payload = Buffer.from(JSON.stringify({ content: text }))
        return plainContent(payload) === parsed(payload)
      }),
      { numRuns: 1500 }
    )
  })
})
