import t from 'tap'
import {
  allocateWithHeadroom,
  freeIfLong,
  freeMemory,
  HEADROOM_BYTES,
  lendMemory,
  MIN_FREED_BYTES,
  ownsMemory,
  UnwrittenMemory
} from '../../src/shared/own-memory.ts'

t.test('ownsMemory()', async (t) => {
  t.ok(ownsMemory(new Uint8Array(10)))
  t.ok(ownsMemory(Buffer.alloc(10)))
  t.ok(ownsMemory(allocateWithHeadroom(0)))
  t.ok(ownsMemory(new Uint8Array(new ArrayBuffer(1000), HEADROOM_BYTES)))
  t.notOk(ownsMemory(new Uint8Array(new ArrayBuffer(1000), HEADROOM_BYTES + 1)), 'too far behind')
  t.notOk(ownsMemory(new Uint8Array(10).subarray(0, 9)), 'something follows')
  t.notOk(ownsMemory(new Uint8Array(new SharedArrayBuffer(10))))
})

t.test('no slice of the pool of small buffers is taken for its owner', async (t) => {
  const taken: number[] = []
  for (let bytes = 1; bytes < Buffer.poolSize; bytes += 7) {
    const buffer = Buffer.allocUnsafe(bytes) // oxlint-disable-line no-restricted-properties -- the pool is looked at
    if (buffer.buffer.byteLength !== bytes && ownsMemory(buffer)) taken.push(bytes)
  }
  t.same(taken, [])
})

t.test('allocateWithHeadroom()', async (t) => {
  const bytes = allocateWithHeadroom(100)
  t.equal(bytes.byteLength, 100)
  t.equal(bytes.byteOffset, HEADROOM_BYTES)
})

t.test('freeIfLong()', async (t) => {
  const [long, short] = [new Uint8Array(MIN_FREED_BYTES), new Uint8Array(MIN_FREED_BYTES - 1)]
  freeIfLong(long)
  freeIfLong(short)
  t.equal(long.byteLength, 0)
  t.equal(short.byteLength, MIN_FREED_BYTES - 1)
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

t.test('lendMemory()', async (t) => {
  const own = allocateWithHeadroom(100)
  const readers = new Set(['one', 'two'])
  for (const reader of readers) lendMemory(own, () => readers.has(reader))
  lendMemory(own.subarray(50), () => false)
  freeMemory(own)
  t.notOk(ownsMemory(own), 'nor is it moved')
  readers.delete('one')
  freeMemory(own)
  t.equal(own.byteLength, 100, 'while anybody reads it')
  readers.delete('two')
  t.ok(ownsMemory(own))
  freeMemory(own)
  t.equal(own.byteLength, 0)
})

t.test('UnwrittenMemory', async (t) => {
  t.test('returns only what was written', async (t) => {
    const memory = new UnwrittenMemory(10)
    t.equal(memory.written().byteLength, 0)
    t.throws(() => memory.whole(), { message: '0 of 10 bytes were written' })
    t.equal(memory.append(Buffer.from('abcdef'), 1, 4), 3)
    t.same(memory.written(), Buffer.from('bcd'))
    t.throws(() => memory.whole(), { message: '3 of 10 bytes were written' })
    t.equal(memory.append(Buffer.from('0123456789')), 7, 'as far as there is room')
    t.same(memory.whole(), Buffer.from('bcd0123456'))
    t.equal(memory.append(Buffer.from('x')), 0)
    memory.rewindTo(4)
    t.same(memory.written(), Buffer.from('bcd0'))
    t.throws(() => memory.whole())
    memory.rewindTo(9)
    t.equal(memory.writtenBytes, 4, 'never forwards')
  })

  t.test('writes whole characters', async (t) => {
    const memory = new UnwrittenMemory(8)
    const units = memory.appendText('aé\u{1f600}\u{1f600}')
    t.equal(memory.written().toString(), 'aé\u{1f600}\u{1f600}'.slice(0, units))
    t.ok(memory.writtenBytes <= 8)
  })

  t.test('notices a chunk whose memory is gone', async (t) => {
    const chunk = Buffer.alloc(5)
    chunk.buffer.transfer(0)
    const memory = new UnwrittenMemory(5)
    memory.append(chunk)
    t.throws(() => memory.whole(), { message: '0 of 5 bytes were written' })
  })

  t.test('is of its own, and can be freed', async (t) => {
    const memory = new UnwrittenMemory(5)
    memory.append(Buffer.from('abcde'))
    const whole = memory.whole()
    t.ok(ownsMemory(whole))
    memory.free()
    t.equal(whole.byteLength, 0)
  })
})
