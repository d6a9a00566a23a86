import { encodeFrame, FrameEncoder } from '../frames/frame-encoder.ts'
import type { FrameStep } from './script.ts'

const JSON_TYPE = { ':content-type': 'application/json' }

export class AnswerEncoder {
  readonly #events = new Map<string, FrameEncoder>()

  encode(step: FrameStep): Buffer {
    switch (step.type) {
      case 'event':
        return this.#encoderOf(step.name).encode(JSON.stringify(step.payload))
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

  /** Few names: those of `script.ts`, never a client's choice. */
  #encoderOf(eventType: string): FrameEncoder {
    const known = this.#events.get(eventType)
    if (known !== undefined) return known
    const encoder = new FrameEncoder({
      ':message-type': 'event',
      ':event-type': eventType,
      ...JSON_TYPE
    })
    this.#events.set(eventType, encoder)
    return encoder
  }
}
