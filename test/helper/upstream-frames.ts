import { encodeFrame } from '../../src/frames/frame-encoder.ts'

/** One event as the upstream frames it. */
export function eventFrame(eventType: string, payload: unknown): Buffer {
  return encodeFrame(
    { ':message-type': 'event', ':event-type': eventType, ':content-type': 'application/json' },
    JSON.stringify(payload)
  )
}

export function textFrame(content: string): Buffer {
  return eventFrame('assistantResponseEvent', { content })
}

export function exceptionFrame(name: string, message: string): Buffer {
  return encodeFrame(
    { ':message-type': 'exception', ':exception-type': name },
    JSON.stringify({ message })
  )
}

/** What follows an answer that the upstream finished. */
export const endFrame = eventFrame('metadataEvent', { stopReason: 'END_TURN' })
