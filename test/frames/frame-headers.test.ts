import { deepEqual } from 'node:assert/strict'
import { HeaderMarshaller, Int64, type MessageHeaders } from '@smithy/eventstream-codec'
import t from 'tap'
import { parseHeaders } from '../../src/frames/frame-decoder.ts'
import { encodeFrame } from '../../src/frames/frame-encoder.ts'
import * as fc from '../helper/fast-check.ts'

type Header = MessageHeaders[string]

const marshaller = new HeaderMarshaller(
  (bytes) => Buffer.from(bytes as Uint8Array).toString(),
  (text) => Buffer.from(text)
)
const encodeHeaders = (headers: MessageHeaders) => Buffer.from(marshaller.format(headers))
const text = (value: string): Header => ({ type: 'string', value })
const number = (value: number): Header => ({ type: 'integer', value })
const headers: fc.Arbitrary<Header> = fc.oneof(
  fc.boolean().map((value): Header => ({ type: 'boolean', value })),
  fc.integer({ min: -128, max: 127 }).map((value): Header => ({ type: 'byte', value })),
  fc.integer({ min: -32768, max: 32767 }).map((value): Header => ({ type: 'short', value })),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map(number),
  fc.maxSafeInteger().map((value): Header => ({ type: 'long', value: Int64.fromNumber(value) })),
  fc.uint8Array().map((value): Header => ({ type: 'binary', value })),
  fc.string({ unit: 'grapheme' }).map(text),
  fc.nat().map((value): Header => ({ type: 'timestamp', value: new Date(value) })),
  fc.uuid().map((value): Header => ({ type: 'uuid', value }))
)

t.test('parseHeaders()', async (t) => {
  t.test('reads texts, and passes over values of the other nine types', async () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(fc.array(fc.tuple(name, headers), { maxLength: 8 }), (list) => {
        const texts = list.map(([key, { type, value }]) => [key, type === 'string' ? value : null])
        const block = encodeHeaders(Object.fromEntries(list))
        deepEqual({ ...parseHeaders(block) }, Object.fromEntries(texts))
      })
    )
  })

  t.test('takes the wire bytes of each type from the specification', async (t) => {
    const cases: [string, string | null][] = [
      ['016100', null],
      ['016101', null],
      ['01610280', null],
      ['0161038000', null],
      ['0161047fffffff', null],
      ['016105ffffffffffffffff', null],
      ['0161060002beef', null],
      ['0161070002c3a9', 'é'],
      ['01610800000000000003e8', null],
      ['01610900112233445566778899aabbccddeeff', null]
    ]
    for (const [hex, value] of cases) {
      const last = { type: 'string', value: 'read' } as const
      const block = Buffer.concat([Buffer.from(hex, 'hex'), encodeHeaders({ last })])
      t.strictSame({ ...parseHeaders(block) }, { a: value, last: 'read' }, hex)
    }
  })

  t.test('refuses a block that is cut anywhere inside a header', async (t) => {
    const one = encodeHeaders({ number: number(7) })
    const block = Buffer.concat([one, encodeHeaders({ text: text('abc') })])
    for (let length = 1; length < block.length; length++) {
      if (length === one.length) continue
      t.throws(
        () => parseHeaders(block.subarray(0, length)),
        { code: 'GW_FRAME_CORRUPT' },
        `${length} bytes`
      )
    }
  })

  t.test('refuses every unknown type', async (t) => {
    for (let type = 10; type <= 255; type++) {
      const block = Buffer.concat([Buffer.of(1, 97, type), Buffer.alloc(32)])
      t.throws(() => parseHeaders(block), { code: 'GW_FRAME_CORRUPT' })
    }
  })

  t.test('never fails otherwise, whatever the bytes are', async () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          parseHeaders(Buffer.from(bytes))
        } catch (error) {
          return (error as { code?: string }).code === 'GW_FRAME_CORRUPT'
        }
        return true
      }),
      { numRuns: 2000 }
    )
  })
})

t.test('encodeFrame() takes names of 255 and values of 65535 bytes, not more', async (t) => {
  encodeFrame({ ['n'.repeat(255)]: 'v'.repeat(65_535) }, '')
  t.throws(() => encodeFrame({ ['n'.repeat(256)]: 'v' }, ''), RangeError)
  t.throws(() => encodeFrame({ n: 'v'.repeat(65_536) }, ''), RangeError)
})
