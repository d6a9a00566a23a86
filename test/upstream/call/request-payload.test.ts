import { createHash } from 'node:crypto'
import t from 'tap'
import { allocateWithHeadroom } from '../../../src/shared/own-memory.ts'
import { releaseSentBody } from '../../../src/upstream/call/exchange.ts'
import { RequestPayload } from '../../../src/upstream/call/requests.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { connectionPool, RecordedExchange } from '../../helper/recorded-exchange.ts'

t.test('RequestPayload', async (t) => {
  const bytes = Buffer.from('{}')
  const payload = payloadOf(bytes)
  t.equal(payload.bytes, bytes)
  bytes[0] = 0x2c
  t.equal(String(payload.peek()), '{}', 'as it was given, whatever a call wrote over it')
  bytes[0] = 0x2c
  t.equal(String(payload.bytes), '{}')
  t.equal(payload.onAnswer(bytes), true)
  t.throws(() => payload.bytes, /let go/)
  payload.onAnswer(null)
})

t.test('the memory of a RequestPayload follows it', async (t) => {
  const sizes: number[] = []
  const memory = {
    growTo: (size: number) => sizes.push(size),
    shrinkTo: (size: number) => sizes.push(size),
    shrinkToKept: () => sizes.push(0)
  }
  const payload = new RequestPayload({ bytes: Buffer.alloc(100), memory, isKept: true })
  payload.reserve(30)
  payload.replace(Buffer.alloc(125))
  t.same(payload.changes, [])
  payload.change('history-trimmed', Buffer.alloc(20))
  t.same(payload.changes, ['history-trimmed'])
  t.ok(payload.has('history-trimmed'))
  t.notOk(payload.has('document-refused'))
  payload.onAnswer(null)
  t.same(sizes, [130, 125, 20])
  payload.drop()
  t.same(sizes, [130, 125, 20, 0])
})

t.test('a kept RequestPayload stays until it is dropped', async (t) => {
  const bytes = Buffer.alloc(100)
  const payload = payloadOf(bytes, true)
  t.equal(payload.onAnswer(bytes), false, 'it is needed for the next round')
  t.equal(payload.onAnswer(Buffer.alloc(1)), true, 'a copy that was sent is not')
  payload.onAnswer(null)
  t.equal(payload.bytes, bytes)
  t.equal(bytes.byteLength, 100)
  payload.drop()
  t.throws(() => payload.bytes, /let go/)
  t.equal(bytes.byteLength, 100, 'a socket may still be reading')
  const last = payloadOf(bytes, true)
  last.hand()
  t.equal(last.onAnswer(bytes), true)
  t.throws(() => last.bytes, /let go/)
})

t.test('RequestPayload.onAnswer() leaves memory alone that is still being sent', async (t) => {
  const bytes = allocateWithHeadroom(100)
  const sent = new Uint8Array(bytes.buffer, 200)
  payloadOf(bytes).onAnswer(sent)
  t.equal(sent.byteLength, bytes.buffer.byteLength - 200)
  payloadOf(bytes).onAnswer(new Uint8Array(10))
  t.equal(sent.byteLength, 0, 'and frees what is not')
})

t.test('releaseSentBody()', async (t) => {
  const own = Buffer.alloc(100_000)
  releaseSentBody(own)
  t.equal(own.byteLength, 0, 'frees memory that belongs to the body alone')
  releaseSentBody(own)
  const array = new Uint8Array(10)
  releaseSentBody(array)
  t.equal(array.byteLength, 0)
  const shared = Buffer.alloc(100).subarray(10, 50)
  releaseSentBody(shared)
  t.equal(shared.byteLength, 40, 'leaves memory that others use too')
  releaseSentBody('text')
  releaseSentBody(null)
})

t.test('Exchange.releaseBody()', (t) => {
  t.test('frees the body once the answer has begun, and nothing is corrupted', async (t) => {
    const upstream = await CountingUpstream.start(t, (request, response) => {
      const hash = createHash('sha256')
      request.on('data', (chunk: Buffer) => hash.update(chunk))
      request.on('end', () => {
        response.write(hash.digest('hex'))
        setImmediate(() => response.end('.'))
      })
    })
    const pool = connectionPool(t)
    for (let i = 0; i < 3; i++) {
      const body = makeBody(3_000_000 + i)
      const expected = digest(body)
      const call: RecordedExchange = new RecordedExchange(pool, upstream.url, {
        body,
        onSent: (call) => call.exchange?.releaseBody(),
        onChunk: () => call.exchange.releaseBody()
      })
      t.equal(body.byteLength, 3_000_000 + i, 'not before')
      await call.over()
      t.equal(call.text, `${expected}.`)
      t.equal(body.byteLength, 0)
    }
    t.match(pool.stats(), { opened: 1, reused: 2 })
  })

  t.test('leaves a body alone that is still being written', async (t) => {
    const { promise: mayRead, resolve: letRead } = Promise.withResolvers<void>()
    const upstream = await CountingUpstream.start(t, (request, response) => {
      response.write('early ')
      const hash = createHash('sha256')
      request.on('end', () => response.end(hash.digest('hex')))
      void mayRead.then(() => request.on('data', (chunk: Buffer) => hash.update(chunk)))
    })
    const body = makeBody(20_000_000)
    const expected = digest(body)
    let bytesAtFirstPart = 0
    const call: RecordedExchange = new RecordedExchange(connectionPool(t), upstream.url, {
      body,
      onChunk: () => {
        if (bytesAtFirstPart > 0) return
        call.exchange.releaseBody()
        bytesAtFirstPart = body.byteLength
        letRead()
      }
    })
    await call.over()
    t.equal(bytesAtFirstPart, 20_000_000)
    t.equal(call.text, `early ${expected}`)
    call.exchange.releaseBody()
    t.equal(body.byteLength, 20_000_000, 'nor after the end')
  })
  t.end()
})

function payloadOf(bytes: Uint8Array, isKept = false): RequestPayload {
  const memory = { growTo: () => {}, shrinkTo: () => {}, shrinkToKept: () => {} }
  return new RequestPayload({ bytes, memory, isKept })
}

function makeBody(bytes: number): Buffer {
  const body = Buffer.alloc(bytes)
  for (let i = 0; i < bytes; i++) body[i] = i % 251
  return body
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
