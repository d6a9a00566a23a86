import { encodeFrame, FrameEncoder } from '../frames/frame-encoder.ts'
import type { Step } from './script.ts'

const JSON_TYPE = { ':content-type': 'application/json' }

export type FrameStep = Extract<
  Step,
  {
    readonly type:
      | 'event'
      | 'exception'
      | 'error'
      | 'corrupt-frame'
      | 'half-frame'
      | 'header-names'
      | 'empty-frames'
  }
>

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
      case 'error':
        return encodeFrame(
          { ':message-type': 'error', ':error-code': step.code, ':error-message': step.message },
          ''
        )
      case 'corrupt-frame':
        return this.#corruptFrame()
      case 'half-frame':
        return this.#textFrame('.'.repeat(step.bytes)).subarray(0, step.bytes)
      case 'header-names':
        return namesFrame(step.count)
      case 'empty-frames':
        break
    }
    const empty = encodeFrame({}, '')
    return Buffer.alloc(empty.length * step.count, empty)
  }

  #corruptFrame(): Buffer {
    const frame = this.#textFrame('This frame is damaged.')
    frame.writeUInt32BE(~frame.readUInt32BE(frame.length - 4) >>> 0, frame.length - 4)
    return frame
  }

  #textFrame(content: string): Buffer {
    return this.#encoderOf('assistantResponseEvent').encode(JSON.stringify({ content }))
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

/** Wraps the payload in an object with the event's name, as some captures show it (§5.2). */
export function wrapPayload(step: Step): Step {
  return step.type === 'event' ? { ...step, payload: { [step.name]: step.payload } } : step
}

const NAME_CHARS = 4

/** Each header is only a name: `true` has no bytes (kiro-protocol §5.1). */
function namesFrame(count: number): Buffer {
  const headers = Buffer.alloc(count * (NAME_CHARS + 2))
  for (let index = 0; index < count; index++) {
    const at = index * (NAME_CHARS + 2)
    headers.writeUInt8(NAME_CHARS, at)
    headers.write(index.toString(36).padStart(NAME_CHARS, '0'), at + 1, 'latin1')
  }
  return new FrameEncoder(headers).encode('')
}
