import { crc32 } from 'node:zlib'
import t from 'tap'
import { preludeChecksum } from '../../src/frames/frame-decoder.ts'
import { assert, nat, property, uint8Array } from '../helper/fast-check.ts'

t.test('is the CRC-32 of eight bytes, wherever they lie', async (t) => {
  assert(
    property(nat(40), uint8Array({ minLength: 48, maxLength: 64 }), (at, bytes) => {
      return preludeChecksum(bytes, at) === crc32(bytes.subarray(at, at + 8))
    }),
    { numRuns: 1000 }
  )
  t.equal(preludeChecksum(Buffer.alloc(8), 0), crc32(Buffer.alloc(8)))
  t.equal(preludeChecksum(Buffer.alloc(8, 0xff), 0), crc32(Buffer.alloc(8, 0xff)))
})
