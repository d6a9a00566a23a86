import { encodeFrame, FrameEncoder } from '../frames/frame-encoder.ts'
import type { FrameStep } from './script.ts'

const JSON_TYPE = { ':content-type': 'application/json' }

export function encodeStep(step: FrameStep): Buffer {
  switch (step.type) {
    case 'event':
      return encoderOf(step.name).encode(JSON.stringify(step.payload))
    case 'exception':
      return encodeFrame(
        { ':message-type': 'exception', ':exception-type': step.name, ...JSON_TYPE },
        JSON.stringify(step.payload)
      )
    case 'bytes':
      break
  }
  return step.bytes
}

/** Bounded by the names in `script.ts`, never a client's choice. */
const encoders = new Map<string, FrameEncoder>()

function encoderOf(eventType: string): FrameEncoder {
  const known = encoders.get(eventType)
  if (known !== undefined) return known
  const headers = { ':message-type': 'event', ':event-type': eventType, ...JSON_TYPE }
  const encoder = new FrameEncoder(headers)
  encoders.set(eventType, encoder)
  return encoder
}
