import { crc32 } from 'node:zlib'
import t from 'tap'
import { checksumOf } from '../../src/frames/frame-decoder.ts'
import { assert, nat, property, uint8Array } from '../helper/fast-check.ts'

t.test('is the CRC-32 of the bytes between two places, however many they are', async (t) => {
  assert(
    property(
      nat(40),
      nat(300),
      uint8Array({ minLength: 340, maxLength: 340 }),
      (at, length, all) => {
        const bytes = Buffer.from(all)
        return checksumOf(bytes, at, at + length) === crc32(bytes.subarray(at, at + length))
      }
    ),
    { numRuns: 3000 }
  )
  for (let length = 0; length <= 300; length++) {
    const bytes = Buffer.alloc(length, 0xff)
    if (checksumOf(bytes, 0, length) !== crc32(bytes)) t.fail(`${length} bytes of 0xff`)
  }
  t.equal(checksumOf(Buffer.alloc(8), 0, 8), crc32(Buffer.alloc(8)))
})
