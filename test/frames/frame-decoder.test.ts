import { deepEqual, equal, ok } from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import { EventStreamCodec } from '@smithy/eventstream-codec'
import t from 'tap'
import { type Frame, FrameDecoder, payloadTextOf } from '../../src/frames/frame-decoder.ts'
import { encodeFrame } from '../../src/frames/frame-encoder.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { REFERENCE_FRAMES } from '../fixtures/reference-frames.ts'
import * as fc from '../helper/fast-check.ts'

const references = REFERENCE_FRAMES.map((frame) => Buffer.from(frame.hex, 'hex'))
const referenceStream = Buffer.concat(references)
const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString(),
  (text) => Buffer.from(text)
)

t.test('feed()', async (t) => {
  t.test('reads the reference frames', async (t) => {
    for (const [index, reference] of REFERENCE_FRAMES.entries()) {
      const frames = decode([references[index]!])
      t.same(frames, [{ headers: reference.headers, payload: reference.payload }], reference.name)
    }
  })

  t.test('tells headers of one length apart, however many kinds there are', async (t) => {
    const names = Array.from({ length: 40 }, (_, index) => `event-${index % 10}${index + 10}`)
    const chunks = names.map((name) => encodeFrame({ ':event-type': name }, '{}'))
    for (let round = 0; round < 2; round++) {
      const read = decode(chunks).map(({ headers }) => headers[':event-type'])
      t.same(read, names, 'also in another stream')
    }
  })

  t.test('gives the good frames before a bad one, however the bytes are cut', async (t) => {
    const bad = Buffer.from(references[0]!)
    bad[bad.length - 1]! ^= 1
    const stream = Buffer.concat([referenceStream, bad, referenceStream])
    for (let size = 1; size <= stream.length; size++) {
      const decoder = new FrameDecoder()
      const frames: Frame[] = []
      const read = (): void => {
        for (const slice of slices(stream, size)) {
          frames.push(...decoder.feed(slice))
          decoder.throwIfFailed()
        }
      }
      t.throws(read, { code: 'GW_FRAME_CORRUPT' }, `slices of ${size} bytes`)
      t.equal(frames.length, 3)
    }
  })

  t.test('gives the same frames for every slice size', async (t) => {
    const expected = decode([referenceStream])
    t.equal(expected.length, 3)
    for (let size = 1; size <= referenceStream.length; size++) {
      t.same(decode(slices(referenceStream, size)), expected, `slices of ${size} bytes`)
    }
  })

  t.test('gives the same frames for any cut', async () => {
    const expected = decode([referenceStream])
    fc.assert(
      fc.property(fc.array(fc.nat(referenceStream.length), { maxLength: 12 }), (cuts) => {
        deepEqual(decode(cutAt(referenceStream, cuts)), expected)
      }),
      { numRuns: 200 }
    )
  })

  t.test('returns a frame with the chunk that completes it, not later', async (t) => {
    const decoder = new FrameDecoder()
    const [first] = references
    t.equal(decoder.feed(first!.subarray(0, -1)).length, 0)
    t.equal(decoder.feed(first!.subarray(-1)).length, 1)
    decoder.end()
  })

  t.test('keeps earlier payloads intact while later frames are assembled', async (t) => {
    const decoder = new FrameDecoder()
    const frames: Frame[] = []
    for (const piece of slices(referenceStream, 5)) frames.push(...decoder.feed(piece))
    t.equal(payloadTextOf(frames[0]!), '{"content":"Hi"}')
    t.equal(payloadTextOf(frames[1]!), '{"message":"Slow down"}')
  })

  t.test('takes plain Uint8Arrays and views with an offset', async (t) => {
    const padded = new Uint8Array(referenceStream.length + 7)
    padded.set(referenceStream, 7)
    t.same(decode([padded.subarray(7)]), decode([referenceStream]))
  })

  t.test('does not copy payloads of frames that lie in one chunk', async (t) => {
    const [frame] = new FrameDecoder().feed(referenceStream)
    t.equal(frame!.bytes, referenceStream)
  })

  t.test('keeps a 4-byte character whole that chunks split', async (t) => {
    const frame = encodeFrame({ ':event-type': 'x' }, '{"content":"a👩‍💻🎉b"}')
    for (let size = 1; size < frame.length; size++) {
      t.same(decode(slices(frame, size))[0]!.payload, '{"content":"a👩‍💻🎉b"}')
    }
  })

  t.test('does not mix up header blocks of equal length', async (t) => {
    const one = encodeFrame({ name: 'one' }, '')
    const two = encodeFrame({ name: 'two' }, '')
    const names = decode([Buffer.concat([one, two, one, two])]).map((frame) => frame.headers)
    t.same(names, [{ name: 'one' }, { name: 'two' }, { name: 'one' }, { name: 'two' }])
  })

  t.test('reads many different header blocks', async (t) => {
    const all = Array.from({ length: 40 }, (_, i) => ({ name: 'x'.repeat(i * 10) }))
    const stream = Buffer.concat(all.map((headers) => encodeFrame(headers, '')))
    t.same(
      decode([stream, stream]).map((frame) => frame.headers),
      [...all, ...all]
    )
  })

  t.test('gives header names that are no inherited members', async (t) => {
    const [frame] = new FrameDecoder().feed(encodeFrame({ ['__proto__']: 'x' }, ''))
    t.equal(frame!.headers['constructor'], undefined)
    t.same(Object.keys(frame!.headers), ['__proto__'])
  })
})

t.test('feed() on damaged bytes', async (t) => {
  t.test('finds every single flipped bit, whole and byte by byte', async (t) => {
    const frame = references[1]!
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const damaged = Buffer.from(frame)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      for (const size of [1, damaged.length]) {
        const code = codeOf(() => decode(slices(damaged, size)))
        if (code !== 'GW_FRAME_CORRUPT') t.fail(`bit ${bit} in slices of ${size}: ${code}`)
      }
    }
  })

  t.test('stays failed', async (t) => {
    const decoder = new FrameDecoder()
    t.throws(() => decoder.feed(Buffer.alloc(16, 7)), { code: 'GW_FRAME_CORRUPT' })
    t.throws(() => decoder.feed(references[0]!), { code: 'GW_FRAME_CORRUPT' })
    t.throws(() => decoder.end(), { code: 'GW_FRAME_CORRUPT' })
  })

  t.test('refuses lengths that contradict each other in spite of a good checksum', async (t) => {
    const cases = [
      { total: 15, headers: 0, why: 'shorter than any frame' },
      { total: 0, headers: 0, why: 'no length at all' },
      { total: 20, headers: 5, why: 'headers longer than the frame' },
      { total: 20, headers: 0xffffffff, why: 'the largest header length' }
    ]
    for (const { total, headers, why } of cases) {
      t.equal(
        codeOf(() => decode([prelude(total, headers)])),
        'GW_FRAME_CORRUPT',
        why
      )
    }
  })

  t.test('does not wait for the rest of a frame whose prelude is wrong', async (t) => {
    const damaged = Buffer.from(references[0]!.subarray(0, 12))
    damaged[3]! ^= 1
    t.throws(() => new FrameDecoder().feed(damaged), { code: 'GW_FRAME_CORRUPT' })
  })
})

t.test('the longest frame', async (t) => {
  const limit = 2 * 1024 * 1024
  for (const { name, size, code } of [
    { name: '2 MiB are taken', size: limit, code: undefined },
    { name: 'one byte more is not', size: limit + 1, code: 'GW_FRAME_TOO_LARGE' }
  ]) {
    t.test(`${name}, whole and byte by byte`, async (t) => {
      for (const bytes of [12, 1]) {
        const decoder = new FrameDecoder()
        const start = slices(prelude(size, 0), bytes)
        t.equal(
          codeOf(() => start.map((slice) => decoder.feed(slice))),
          code
        )
      }
    })
  }

  t.test('reads the largest frame, which arrives in network-sized chunks', async (t) => {
    const payload = Buffer.alloc(limit - encodeFrame({ a: 'b' }, '').length, 'payload ')
    const decoder = new FrameDecoder()
    const frames: Frame[] = []
    for (const piece of slices(encodeFrame({ a: 'b' }, payload), 65_536)) {
      frames.push(...decoder.feed(piece))
    }
    t.ok(payload.equals(payloadOf(frames[0]!)))
  })
})

t.test('the headers of a frame', async (t) => {
  const mostBytes = 128 * 1024
  for (const { name, size, code } of [
    { name: '128 KiB are taken', size: mostBytes, code: undefined },
    { name: 'one byte more is not', size: mostBytes + 1, code: 'GW_FRAME_TOO_LARGE' }
  ]) {
    t.test(`${name}, as soon as their length is known`, async (t) => {
      for (const bytes of [12, 1]) {
        const decoder = new FrameDecoder()
        const start = slices(prelude(1_000_000, size), bytes)
        t.equal(
          codeOf(() => start.map((slice) => decoder.feed(slice))),
          code
        )
      }
    })
  }

  t.test('are at most 64, however short they are', async (t) => {
    const [frame] = new FrameDecoder().feed(named(64))
    t.equal(Object.keys(frame!.headers).length, 64)
    for (const count of [65, 20_000]) {
      t.equal(
        codeOf(() => decode([named(count)])),
        'GW_FRAME_TOO_LARGE'
      )
    }
  })
})

t.test('onHold', async (t) => {
  const frame = encodeFrame({ a: 'b' }, Buffer.alloc(300_000, 'payload '))

  t.test('is told of a frame that has come in part before it is held', async (t) => {
    for (const size of [97, 1000, 65_536]) {
      const told: number[] = []
      const decoder = new FrameDecoder((bytes) => void told.push(bytes))
      let received = 0
      for (const piece of slices(frame, size)) {
        received += piece.length
        const frames = decoder.feed(piece)
        equal(frames.length, received === frame.length ? 1 : 0)
        if (told.length > 0) equal(decoder.heldBytes, told.at(-1))
        if (received === frame.length) continue
        ok(decoder.heldBytes >= received, 'all of it')
        ok(decoder.heldBytes <= Math.max(2 * received, 512), 'twice of it at most')
        ok(decoder.heldBytes <= frame.length, 'and no more than there will be')
      }
      t.equal(told.at(-1), 0)
      t.ok(told.length < 30)
    }
  })

  t.test('may refuse: nothing is held, and the frames before are given', async (t) => {
    const told: number[] = []
    const onHold = (bytes: number): void => {
      told.push(bytes)
      if (bytes > 100_000) throw new GatewayError('GW_MEMORY_FULL')
    }
    const decoder = new FrameDecoder(onHold)
    const before = references[0]!
    t.equal(decoder.feed(Buffer.concat([before, frame.subarray(0, 1000)])).length, 1)
    t.throws(() => decoder.feed(frame.subarray(1000, 200_000)), { code: 'GW_MEMORY_FULL' })
    t.throws(() => decoder.feed(frame.subarray(200_000)), { code: 'GW_MEMORY_FULL' })
    t.equal(decoder.heldBytes, 0)
    t.equal(told.at(-1), 0)
    const other = new FrameDecoder(onHold)
    t.equal(other.feed(Buffer.concat([before, frame.subarray(0, 200_000)])).length, 1)
    t.throws(() => other.throwIfFailed(), { code: 'GW_MEMORY_FULL' })
  })
})

t.test('end()', async (t) => {
  t.test('accepts a stream that ends between frames, and an empty one', async () => {
    decode([referenceStream])
    decode([])
    decode([new Uint8Array(0)])
  })

  t.test('throws for a stream that ends inside a frame, wherever that is', async (t) => {
    for (let length = 1; length < references[0]!.length; length++) {
      t.equal(
        codeOf(() => decode([references[0]!.subarray(0, length)])),
        'GW_STREAM_TRUNCATED'
      )
    }
  })
})

t.test('agrees with @smithy/eventstream-codec', async (t) => {
  t.test('reads what that encodes', async () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ minLength: 1, maxLength: 20 }), fc.string()),
        fc.uint8Array(),
        (strings, body) => {
          const headers = Object.fromEntries(
            Object.entries(strings).map(([name, value]) => [name, { type: 'string', value }])
          )
          const bytes = codec.encode({ headers: headers as never, body })
          const [frame] = new FrameDecoder().feed(bytes)
          deepEqual({ ...frame!.headers }, { ...strings })
          deepEqual([...payloadOf(frame!)], [...body])
        }
      )
    )
  })

  t.test('refuses what that refuses, when one byte is replaced', async (t) => {
    const frame = references[0]!
    for (let at = 0; at < frame.length; at++) {
      const damaged = Buffer.from(frame)
      damaged[at]! ^= 0xa5
      t.throws(() => codec.decode(damaged))
      t.equal(
        codeOf(() => decode([damaged])),
        'GW_FRAME_CORRUPT'
      )
    }
  })
})

/** All frames with their payload as text; ends the stream. */
/** A frame with so many headers. */
function named(count: number): Buffer {
  return encodeFrame(
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`${i}`, ''])),
    '{}'
  )
}

function decode(chunks: readonly Uint8Array[]) {
  const decoder = new FrameDecoder()
  const frames = chunks.flatMap((chunk) => decoder.feed(chunk).map(readable))
  decoder.end()
  return frames
}

function readable(frame: Frame) {
  return { headers: { ...frame.headers }, payload: payloadTextOf(frame) }
}

function payloadOf({ bytes, payloadStart, payloadEnd }: Frame): Buffer {
  return bytes.subarray(payloadStart, payloadEnd)
}

function slices(bytes: Uint8Array, size: number): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size))
  return pieces
}

function cutAt(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const borders = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
  return borders.slice(1).map((end, index) => bytes.slice(borders[index], end))
}

function prelude(total: number, headers: number): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt32BE(total, 0)
  bytes.writeUInt32BE(headers, 4)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 8)), 8)
  return bytes
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
  } catch (error) {
    return (error as { code: string }).code
  }
  return undefined
}
