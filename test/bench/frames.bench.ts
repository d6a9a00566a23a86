import { crc32 } from 'node:zlib'
import { EventStreamCodec } from '@smithy/eventstream-codec'
import { FrameDecoder, parseHeaders, preludeChecksum } from '../../src/frames/frame-decoder.ts'
import { FrameEncoder } from '../../src/frames/frame-encoder.ts'
import { parseUpstreamEvent, plainContent } from '../../src/kiro/wire/event.ts'

/**
 * Microseconds per frame, beside `@smithy/eventstream-codec`. Run by hand:
 * `node test/bench/frames.bench.ts`
 */

const FRAMES = 100
const ROUNDS = 3000
const encoder = new FrameEncoder({
  ':message-type': 'event',
  ':event-type': 'assistantResponseEvent',
  ':content-type': 'application/json'
})
const frames = Array.from({ length: FRAMES }, (_, i) => encoder.encode(`{"content":"word ${i}"}`))
const stream = Buffer.concat(frames)
const pieces = Array.from({ length: Math.ceil(stream.length / 1000) }, (_, i) =>
  stream.subarray(i * 1000, (i + 1) * 1000)
)
const headerBlock = frames[0]!.subarray(12, 12 + frames[0]!.readUInt32BE(4))
const payload = Buffer.from('{"content":"word 50"}')
const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes as Uint8Array).toString(),
  (text) => Buffer.from(text)
)

const cases: Record<string, () => void> = {
  'FrameDecoder, 100 frames in one chunk': () => void new FrameDecoder().feed(stream),
  'FrameDecoder, chunks of 1000 bytes': () => {
    const decoder = new FrameDecoder()
    for (const chunk of pieces) decoder.feed(chunk)
  },
  'FrameDecoder and parseUpstreamEvent': () => {
    for (const frame of new FrameDecoder().feed(stream)) parseUpstreamEvent(frame)
  },
  'plainContent alone': () => {
    for (let i = 0; i < FRAMES; i++) plainContent(payload)
  },
  'JSON.parse of the same': () => {
    for (let i = 0; i < FRAMES; i++) JSON.parse(payload.toString())
  },
  'preludeChecksum alone': () => {
    for (let i = 0; i < FRAMES; i++) preludeChecksum(stream, 0)
  },
  'crc32 of the same': () => {
    for (let i = 0; i < FRAMES; i++) crc32(stream.subarray(0, 8))
  },
  'parseHeaders alone': () => {
    for (let i = 0; i < FRAMES; i++) parseHeaders(headerBlock)
  },
  '@smithy/eventstream-codec': () => {
    for (const frame of frames) codec.decode(frame)
  },
  FrameEncoder: () => {
    for (let i = 0; i < FRAMES; i++) encoder.encode('{"content":"word"}')
  }
}

for (const [name, run] of Object.entries(cases)) {
  process.stdout.write(`${name.padEnd(42)}${microsecondsPerFrame(run).toFixed(3)} µs/frame\n`)
}

/** Best of five, after a warm-up: the machine is shared. */
function microsecondsPerFrame(run: () => void): number {
  for (let i = 0; i < ROUNDS; i++) run()
  let best = Infinity
  for (let attempt = 0; attempt < 5; attempt++) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < ROUNDS / 5; i++) run()
    best = Math.min(best, Number(process.hrtime.bigint() - start))
  }
  return best / 1000 / (ROUNDS / 5) / FRAMES
}
