import assert from 'node:assert'
import t from 'tap'
import { FrameMeter } from '../../../src/server/socket/frame-meter.ts'
import { SseLines } from '../../../src/server/socket/sse-lines.ts'
import * as fc from '../../helper/fast-check.ts'

/** One masked frame of a client. */
function frame(opcode: number, isLast: boolean, payloadBytes: number): Buffer {
  const first = (isLast ? 0x80 : 0) | opcode
  const head =
    payloadBytes < 126
      ? Buffer.from([first, 0x80 | payloadBytes])
      : payloadBytes < 65_536
        ? Buffer.from([first, 0x80 | 126, payloadBytes >> 8, payloadBytes & 255])
        : Buffer.concat([Buffer.from([first, 0x80 | 127, 0, 0, 0, 0]), toBytes(payloadBytes)])
  return Buffer.concat([head, Buffer.alloc(4 + payloadBytes, 0x81)])
}

function toBytes(count: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(count)
  return bytes
}

function newsOf(chunks: readonly Uint8Array[]): readonly string[] {
  const news: string[] = []
  const meter = new FrameMeter({
    onDeclared: (bytes, isFirst) => news.push(`${isFirst ? 'first ' : ''}${bytes}`),
    onControl: () => news.push('control'),
    onTrailing: () => news.push('trailing')
  })
  for (const chunk of chunks) meter.push(chunk)
  return news
}

t.test('heads of frames are read wherever the bytes are cut', async (t) => {
  const bytes = Buffer.concat([
    frame(1, false, 10),
    frame(9, true, 4),
    frame(0, false, 300),
    frame(0, true, 70_000),
    frame(1, true, 0),
    frame(1, true, 5)
  ])
  const expected = ['first 10', 'control', '310', '70310', 'first 0', 'first 5']
  t.same(newsOf([bytes]), expected)
  for (const size of [1, 2, 3, 5, 7, 64, 1000]) {
    const chunks: Uint8Array[] = []
    for (let at = 0; at < bytes.byteLength; at += size) chunks.push(bytes.subarray(at, at + size))
    t.same(newsOf(chunks), expected, `${size} at a time`)
  }
})

t.test('a byte behind a close is told, and nothing after it', async (t) => {
  const close = frame(8, true, 2)
  const bytes = Buffer.concat([frame(1, true, 3), close, frame(9, true, 0)])
  t.same(newsOf([bytes]), ['first 3', 'control', 'trailing'])
  t.same(newsOf([close]), ['control'])
  t.same(newsOf([...close, 0, 0].map((byte) => Buffer.of(byte))), ['control', 'trailing'])
})

t.test('nothing more of a read is told once it is stopped', async (t) => {
  let told = 0
  const meter = new FrameMeter({
    onDeclared: () => {},
    onControl: () => {
      told += 1
      if (told === 3) meter.stop()
    },
    onTrailing: () => {}
  })
  const ping = frame(9, true, 0)
  meter.push(Buffer.concat(Array.from({ length: 10_000 }, () => ping)))
  meter.push(ping)
  t.equal(told, 3)
})

t.test('an event stream is cut into its events wherever its pieces end', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant(null), fc.string({ unit: fc.codePoint })), { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }),
      fc.boolean(),
      (texts, sizes, isBytes) => {
        const stream = texts
          .map((text) =>
            text === null ? ': ping\n\n' : `event: x\ndata: ${JSON.stringify({ text })}\n\n`
          )
          .join('')
        const whole = isBytes ? Buffer.from(stream) : stream
        const lines = new SseLines()
        const told: unknown[] = []
        for (let at = 0, turn = 0; at < whole.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1
          for (const line of lines.push(whole.slice(at, at + size))) {
            told.push(line.type === 'event' ? JSON.parse(line.json.toString()).text : null)
          }
          at += size
        }
        assert.deepEqual(told, texts)
      }
    )
  )
})
