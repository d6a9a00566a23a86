import { deepEqual } from 'node:assert/strict'
import t from 'tap'
import {
  encodeHeaders,
  type HeaderInput,
  type HeaderValue,
  parseHeaders
} from '../../src/frames/frame-headers.ts'
import * as fc from '../helper/fast-check.ts'

/** A value to encode and what must come back. */
interface Sample {
  readonly input: HeaderInput
  readonly output: HeaderValue
}

const plain = (value: HeaderValue): Sample => ({ input: value, output: value })
const samples: fc.Arbitrary<Sample> = fc.oneof(
  fc.boolean().map(plain),
  fc.integer({ min: -128, max: 127 }).map((value) => typed('byte', value)),
  fc.integer({ min: -32768, max: 32767 }).map((value) => typed('short', value)),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map(plain),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(plain),
  fc.uint8Array().map(plain),
  fc.string({ unit: 'grapheme' }).map(plain),
  fc.date({ noInvalidDate: true }).map(plain),
  fc.uuid().map((value) => ({ input: { type: 'uuid' as const, value }, output: value }))
)

t.test('parseHeaders()', async (t) => {
  t.test('reads back all ten types', async (t) => {
    const headers = {
      yes: true,
      no: false,
      byte: { type: 'byte', value: -1 },
      short: { type: 'short', value: -300 },
      integer: -70_000,
      long: -(2n ** 40n),
      bytes: Uint8Array.of(1, 2, 3),
      string: 'grüße 🎉',
      timestamp: new Date('2026-11-24T12:00:00.123Z'),
      uuid: { type: 'uuid', value: '00112233-4455-6677-8899-aabbccddeeff' }
    } as const
    t.same(
      { ...parseHeaders(encodeHeaders(headers)) },
      {
        ...headers,
        byte: -1,
        short: -300,
        uuid: '00112233-4455-6677-8899-aabbccddeeff'
      }
    )
  })

  t.test('reads back any headers', async () => {
    const name = fc.string({ unit: 'grapheme', maxLength: 20 })
    fc.assert(
      fc.property(fc.array(fc.tuple(name, samples), { maxLength: 8 }), (list) => {
        const inputs = Object.fromEntries(list.map(([key, sample]) => [key, sample.input]))
        const outputs = Object.fromEntries(list.map(([key, sample]) => [key, sample.output]))
        deepEqual({ ...parseHeaders(encodeHeaders(inputs)) }, outputs)
      })
    )
  })

  t.test('takes the wire bytes of each type from the specification', async (t) => {
    const cases: [string, HeaderValue][] = [
      ['016100', true],
      ['016101', false],
      ['01610280', -128],
      ['0161038000', -32768],
      ['0161047fffffff', 2147483647],
      ['016105ffffffffffffffff', -1n],
      ['0161060002beef', Uint8Array.of(0xbe, 0xef)],
      ['0161070002c3a9', 'é'],
      ['01610800000000000003e8', new Date(1000)],
      ['01610900112233445566778899aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff']
    ]
    for (const [hex, value] of cases) {
      t.strictSame({ ...parseHeaders(Buffer.from(hex, 'hex')) }, { a: value }, hex)
    }
  })

  t.test('refuses a block that is cut anywhere inside a header', async (t) => {
    const one = encodeHeaders({ number: 7 })
    const block = Buffer.concat([one, encodeHeaders({ text: 'abc' })])
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

  t.test('refuses a timestamp that is no point in time', async (t) => {
    const block = Buffer.from('0161087fffffffffffffff', 'hex')
    t.throws(() => parseHeaders(block), { code: 'GW_FRAME_CORRUPT' })
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

  t.test('returns bytes that do not share memory with the block', async (t) => {
    const block = encodeHeaders({ a: Uint8Array.of(1) })
    const headers = parseHeaders(block)
    block.fill(0)
    t.same(headers['a'], Uint8Array.of(1))
  })
})

t.test('encodeHeaders()', async (t) => {
  t.test('takes names of 255 and values of 65535 bytes, not more', async (t) => {
    encodeHeaders({ ['n'.repeat(255)]: 'v'.repeat(65_535) })
    t.throws(() => encodeHeaders({ ['n'.repeat(256)]: 'v' }), RangeError)
    t.throws(() => encodeHeaders({ n: 'v'.repeat(65_536) }), RangeError)
  })

  t.test('refuses numbers that their type cannot hold', async (t) => {
    t.throws(() => encodeHeaders({ n: 2 ** 31 }), RangeError)
    t.throws(() => encodeHeaders({ n: { type: 'byte', value: 128 } }), RangeError)
    t.throws(() => encodeHeaders({ n: { type: 'uuid', value: 'zz' } }), RangeError)
  })
})

function typed(type: 'byte' | 'short', value: number): Sample {
  return { input: { type, value }, output: value }
}
