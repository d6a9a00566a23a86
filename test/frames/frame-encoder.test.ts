import { deepEqual } from 'node:assert/strict'
import { EventStreamCodec } from '@smithy/eventstream-codec'
import t from 'tap'
import { encodeFrame, FrameEncoder } from '../../src/frames/frame-encoder.ts'
import { REFERENCE_FRAMES } from '../fixtures/reference-frames.ts'
import * as fc from '../helper/fast-check.ts'

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString(),
  (text) => Buffer.from(text)
)

t.test('encodeFrame()', async (t) => {
  t.test('writes the reference frames byte for byte', async (t) => {
    for (const { name, headers, payload, hex } of REFERENCE_FRAMES) {
      t.equal(encodeFrame(headers, payload).toString('hex'), hex, name)
    }
  })

  t.test('is read by @smithy/eventstream-codec', async () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.uint8Array(), (value, payload) => {
        const message = codec.decode(encodeFrame({ text: value, more: 'é' }, payload))
        deepEqual([...message.body], [...payload])
        deepEqual(message.headers, {
          text: { type: 'string', value },
          more: { type: 'string', value: 'é' }
        })
      })
    )
  })
})

t.test('FrameEncoder', async (t) => {
  t.test('writes text as UTF-8, the same as its bytes', async (t) => {
    const encoder = new FrameEncoder({ a: 'b' })
    t.same(encoder.encode('{"content":"é🎉"}'), encoder.encode(Buffer.from('{"content":"é🎉"}')))
  })

  t.test('writes what encodeFrame() writes, every time', async (t) => {
    const encoder = new FrameEncoder({ a: 'b' })
    t.same(encoder.encode('one'), encodeFrame({ a: 'b' }, 'one'))
    t.same(encoder.encode('two'), encodeFrame({ a: 'b' }, 'two'))
  })
})
