import { equal, ok } from 'node:assert/strict'
import t from 'tap'
import { ByteBlocks } from '../../src/shared/own-memory.ts'
import * as fc from '../helper/fast-check.ts'

t.test('ByteBlocks', async (t) => {
  t.test('gives back what was appended, whatever the chunks', async () => {
    const size = fc.oneof(fc.nat(3), fc.integer({ min: 4090, max: 4100 }), fc.nat(200_000))
    fc.assert(
      fc.property(fc.array(size, { maxLength: 8 }), (sizes) => {
        const blocks = new ByteBlocks()
        const chunks = sizes.map((bytes, index) => Buffer.alloc(bytes, index + 1))
        for (const chunk of chunks) blocks.append(chunk)
        const whole = Buffer.concat(chunks)
        equal(blocks.bytes, whole.byteLength)
        ok(blocks.take().equals(whole))
        equal(blocks.bytes, 0)
      })
    )
  })
  t.test('keeps no chunk', async (t) => {
    const blocks = new ByteBlocks()
    const chunk = Buffer.alloc(10, 'a')
    blocks.append(chunk)
    chunk.fill('b')
    t.equal(blocks.take().toString(), 'a'.repeat(10))
  })
  t.test('can be used again when it was cleared', async (t) => {
    const blocks = new ByteBlocks()
    blocks.append(Buffer.from('gone'))
    blocks.clear()
    blocks.append(Buffer.from('there'))
    t.equal(blocks.take().toString(), 'there')
  })
})
