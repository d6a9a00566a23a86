import t from 'tap'
import {
  allocateWithHeadroom,
  freeMemory,
  HEADROOM_BYTES,
  ownsMemory
} from '../../src/shared/own-memory.ts'

t.test('ownsMemory()', async (t) => {
  t.ok(ownsMemory(new Uint8Array(10)))
  t.ok(ownsMemory(Buffer.allocUnsafeSlow(10)))
  t.ok(ownsMemory(allocateWithHeadroom(0)))
  t.ok(ownsMemory(new Uint8Array(new ArrayBuffer(1000), HEADROOM_BYTES)))
  t.notOk(ownsMemory(new Uint8Array(new ArrayBuffer(1000), HEADROOM_BYTES + 1)), 'too far behind')
  t.notOk(ownsMemory(new Uint8Array(10).subarray(0, 9)), 'something follows')
  t.notOk(ownsMemory(new Uint8Array(new SharedArrayBuffer(10))))
})

t.test('no slice of the pool of small buffers is taken for its owner', async (t) => {
  const taken: number[] = []
  for (let bytes = 1; bytes < Buffer.poolSize; bytes += 7) {
    const buffer = Buffer.allocUnsafe(bytes)
    if (buffer.buffer.byteLength !== bytes && ownsMemory(buffer)) taken.push(bytes)
  }
  t.same(taken, [])
})

t.test('allocateWithHeadroom()', async (t) => {
  const bytes = allocateWithHeadroom(100)
  t.equal(bytes.byteLength, 100)
  t.equal(bytes.byteOffset, HEADROOM_BYTES)
})

t.test('freeMemory()', async (t) => {
  const own = allocateWithHeadroom(100)
  freeMemory(own)
  t.equal(own.byteLength, 0)
  freeMemory(own)
  const shared = new Uint8Array(10).subarray(0, 5)
  freeMemory(shared)
  t.equal(shared.byteLength, 5)
})
