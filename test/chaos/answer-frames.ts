import { FrameEncoder } from '../../src/frames/frame-encoder.ts'

/** An answer has no more words than this. */
export const MAX_WORDS = 200

const Words = Array.from({ length: MAX_WORDS }, (_, index) => textFrame(` w${index}`))
const Ends = Array.from({ length: MAX_WORDS + 1 }, (_, words) =>
  Buffer.concat([
    textFrame(` end:${words}`),
    eventFrame('metadataEvent', { stopReason: 'END_TURN' }),
    eventFrame('contextUsageEvent', { contextUsagePercentage: 1.5 }),
    eventFrame('meteringEvent', { unit: 'credit', unitPlural: 'credits', usage: 0.1 })
  ])
)

/** Says whose answer it is: a client has to find the number it sent. */
export function firstFrame(id: string): Buffer {
  return textFrame(`id:${id}`)
}

export function wordFrame(index: number): Buffer {
  return Words[index]!
}

/** Ends a whole answer and tells how many words it had. */
export function endFrames(words: number): Buffer {
  return Ends[words]!
}

/** The text of an answer that arrived whole. */
export function wholeText(id: string, words: number): string {
  let text = `id:${id}`
  for (let index = 0; index < words; index++) text += ` w${index}`
  return `${text} end:${words}`
}

function textFrame(content: string): Buffer {
  return eventFrame('assistantResponseEvent', { content })
}

function eventFrame(eventType: string, payload: object): Buffer {
  return new FrameEncoder({
    ':message-type': 'event',
    ':event-type': eventType,
    ':content-type': 'application/json'
  }).encode(JSON.stringify(payload))
}
