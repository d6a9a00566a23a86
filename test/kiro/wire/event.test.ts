import t from 'tap'
import { FrameDecoder } from '../../../src/frames/frame-decoder.ts'
import { encodeFrame } from '../../../src/frames/frame-encoder.ts'
import { parseUpstreamEvent, type UpstreamEvent } from '../../../src/kiro/wire/event.ts'
import { REFERENCE_FRAMES } from '../../fixtures/reference-frames.ts'

interface EventCase {
  readonly name: string
  readonly eventType: string
  readonly payload: unknown
  readonly event: UpstreamEvent
}

const ignored = (eventType: string): UpstreamEvent => ({ type: 'ignored', eventType })

const EVENTS: readonly EventCase[] = [
  {
    name: 'text',
    eventType: 'assistantResponseEvent',
    payload: { content: ' a\n', unknownMember: 1 },
    event: { type: 'text', text: ' a\n' }
  },
  {
    name: 'text with the model behind auto',
    eventType: 'assistantResponseEvent',
    payload: { content: 'a', modelId: 'claude-sonnet-5' },
    event: { type: 'text', text: 'a', modelId: 'claude-sonnet-5' }
  },
  {
    name: 'empty text that names the model',
    eventType: 'assistantResponseEvent',
    payload: { content: '', modelId: 'm' },
    event: { type: 'text', text: '', modelId: 'm' }
  },
  {
    name: 'empty text',
    eventType: 'assistantResponseEvent',
    payload: { content: '' },
    event: ignored('assistantResponseEvent')
  },
  {
    name: 'text wrapped in its event name',
    eventType: 'assistantResponseEvent',
    payload: { assistantResponseEvent: { content: 'a' } },
    event: { type: 'text', text: 'a' }
  },
  {
    name: 'a payload with its event name beside other members is not unwrapped',
    eventType: 'assistantResponseEvent',
    payload: { assistantResponseEvent: { content: 'inner' }, content: 'outer' },
    event: { type: 'text', text: 'outer' }
  },
  {
    name: 'code is text',
    eventType: 'codeEvent',
    payload: { content: 'x = 1' },
    event: { type: 'text', text: 'x = 1' }
  },
  {
    name: 'reasoning text',
    eventType: 'reasoningContentEvent',
    payload: { text: 'hm' },
    event: { type: 'reasoning', text: 'hm' }
  },
  {
    name: 'a reasoning signature',
    eventType: 'reasoningContentEvent',
    payload: { signature: 'c2ln' },
    event: { type: 'reasoning', signature: 'c2ln' }
  },
  {
    name: 'redacted reasoning',
    eventType: 'reasoningContentEvent',
    payload: { redactedContent: 'AAAA' },
    event: { type: 'reasoning', redacted: 'AAAA' }
  },
  {
    name: 'the start of a tool call',
    eventType: 'toolUseEvent',
    payload: { name: 'f', toolUseId: 't1' },
    event: { type: 'tool', id: 't1', name: 'f', stop: false }
  },
  {
    name: 'a fragment of arguments',
    eventType: 'toolUseEvent',
    payload: { name: 'f', toolUseId: 't1', input: '{"a":"\\' },
    event: { type: 'tool', id: 't1', name: 'f', input: '{"a":"\\', stop: false }
  },
  {
    name: 'arguments as an object',
    eventType: 'toolUseEvent',
    payload: { name: 'f', toolUseId: 't1', input: { a: [1] }, stop: true },
    event: { type: 'tool', id: 't1', name: 'f', input: { a: [1] }, stop: true }
  },
  {
    name: 'arguments of no known form',
    eventType: 'toolUseEvent',
    payload: { name: 'f', toolUseId: 't1', input: null, stop: 'yes' },
    event: { type: 'tool', id: 't1', name: 'f', stop: false }
  },
  {
    name: 'the end of a tool call without its name',
    eventType: 'toolUseEvent',
    payload: { toolUseId: 't1', stop: true },
    event: { type: 'tool', id: 't1', name: '', stop: true }
  },
  {
    name: 'a stop reason',
    eventType: 'metadataEvent',
    payload: { stopReason: 'END_TURN', stopDetails: {} },
    event: { type: 'metadata', stopReason: 'END_TURN' }
  },
  {
    name: 'token counts, with what is no count left out',
    eventType: 'metadataEvent',
    payload: {
      tokenUsage: { uncachedInputTokens: 100, outputTokens: 'many', totalTokens: 0, other: 5 }
    },
    event: { type: 'metadata', tokenUsage: { uncachedInputTokens: 100, totalTokens: 0 } }
  },
  {
    name: 'a context percentage inside the token counts',
    eventType: 'metadataEvent',
    payload: { tokenUsage: { contextUsagePercentage: 12.5, cacheReadInputTokens: 3 } },
    event: {
      type: 'metadata',
      tokenUsage: { cacheReadInputTokens: 3 },
      contextUsagePercentage: 12.5
    }
  },
  {
    name: 'a context percentage alone in the token counts',
    eventType: 'metadataEvent',
    payload: { tokenUsage: { contextUsagePercentage: 1 } },
    event: { type: 'metadata', contextUsagePercentage: 1 }
  },
  {
    name: 'metadata without anything known',
    eventType: 'metadataEvent',
    payload: { usage: {}, tokenUsage: null },
    event: { type: 'metadata' }
  },
  {
    name: 'context usage',
    eventType: 'contextUsageEvent',
    payload: { contextUsagePercentage: 10.867, breakdown: { conversation: 1 } },
    event: { type: 'context-usage', percentage: 10.867 }
  },
  {
    name: 'context usage without a number',
    eventType: 'contextUsageEvent',
    payload: { contextUsagePercentage: null },
    event: ignored('contextUsageEvent')
  },
  {
    name: 'metering, whatever the order of its keys',
    eventType: 'meteringEvent',
    payload: { unit: 'credit', unitPlural: 'credits', usage: 0.0897 },
    event: { type: 'metering', credits: 0.0897 }
  },
  {
    name: 'metering whose number is called amount',
    eventType: 'meteringEvent',
    payload: { unit: 'CREDITS', amount: 0.5 },
    event: { type: 'metering', credits: 0.5 }
  },
  {
    name: 'metering in another unit',
    eventType: 'meteringEvent',
    payload: { unit: 'invocation', usage: 1 },
    event: ignored('meteringEvent')
  },
  {
    name: 'metering without a number',
    eventType: 'meteringEvent',
    payload: { unit: 'credit' },
    event: ignored('meteringEvent')
  },
  {
    name: 'an invalid state is an exception',
    eventType: 'invalidStateEvent',
    payload: { reason: 'INVALID_TASK_ASSIST_PLAN', message: 'no plan' },
    event: {
      type: 'exception',
      name: 'InvalidStateException',
      message: 'no plan',
      reason: 'INVALID_TASK_ASSIST_PLAN'
    }
  }
]

t.test('parseUpstreamEvent()', async (t) => {
  for (const { name, eventType, payload, event } of EVENTS) {
    t.test(`reads ${name}`, async (t) => {
      t.strictSame(parse({ ':event-type': eventType }, JSON.stringify(payload)), event)
      const typed = { ':message-type': 'event', ':event-type': eventType }
      t.strictSame(parse(typed, JSON.stringify(payload)), event, 'with :message-type')
    })
  }

  t.test('ignores events that nobody acts on, and unknown ones, with any payload', async (t) => {
    const types = [
      'messageMetadataEvent',
      'metricsEvent',
      'codeReferenceEvent',
      'citationEvent',
      'supplementaryWebLinksEvent',
      'followupPromptEvent',
      'toolResultEvent',
      'intentsEvent',
      'interactionComponentsEvent',
      'dryRunSucceedEvent',
      'binaryMetadataEvent',
      'binaryPayloadEvent',
      'initial-response',
      'constructor',
      'newEventOfNextYear'
    ]
    for (const eventType of types) {
      for (const payload of ['{"content":"x","inputTokens":1}', 'no JSON', '']) {
        t.strictSame(parse({ ':event-type': eventType }, payload), ignored(eventType))
      }
    }
  })

  t.test('ignores unknown message types and frames without any header', async (t) => {
    t.strictSame(parse({ ':message-type': 'greeting' }, '{}'), ignored('greeting'))
    t.strictSame(parse({}, ''), ignored(''))
    const headers = { ':event-type': null }
    const frame = { headers, bytes: Buffer.from('{}'), payloadStart: 0, payloadEnd: 2 }
    t.strictSame(parseUpstreamEvent(frame), ignored(''))
  })

  t.test('reads the reference frames', async (t) => {
    const events = REFERENCE_FRAMES.flatMap(({ hex }) =>
      new FrameDecoder().feed(Buffer.from(hex, 'hex')).map(parseUpstreamEvent)
    )
    t.strictSame(events, [
      { type: 'text', text: 'Hi' },
      { type: 'exception', name: 'ThrottlingException', message: 'Slow down' },
      ignored('')
    ])
  })

  t.test('refuses an event that matters when its payload is no JSON object', async (t) => {
    const known = new Set(EVENTS.map((event) => event.eventType))
    for (const eventType of known) {
      for (const payload of ['', '{"content":', '[]', '"text"', 'null', '7']) {
        t.throws(
          () => parse({ ':event-type': eventType }, payload),
          { code: 'GW_FRAME_CORRUPT' },
          `${eventType} with ${payload}`
        )
      }
    }
  })
})

t.test('parseUpstreamEvent() on failures', async (t) => {
  const exception = { ':message-type': 'exception', ':exception-type': 'ValidationException' }

  t.test('reads message and reason of an exception', async (t) => {
    t.strictSame(parse(exception, '{"message":"too long","reason":"CONTENT_LENGTH"}'), {
      type: 'exception',
      name: 'ValidationException',
      message: 'too long',
      reason: 'CONTENT_LENGTH'
    })
  })

  t.test('takes text that is no JSON for the message, and the name for no text', async (t) => {
    t.match(parse(exception, 'plain words'), { message: 'plain words' })
    t.match(parse(exception, ''), { message: 'ValidationException' })
    t.match(parse(exception, '{"Message":"capital"}'), { message: 'capital' })
  })

  t.test('takes namespace and suffix off the name, and finds it in the payload', async (t) => {
    const named = (name: string) =>
      parse({ ':message-type': 'exception', ':exception-type': name }, '{}')
    t.match(named('com.amazon.aws#ThrottlingException'), { name: 'ThrottlingException' })
    t.match(named('ThrottlingException:http://x'), { name: 'ThrottlingException' })
    const unnamed = { ':message-type': 'exception' }
    t.match(parse(unnamed, '{"__type":"a.b#QuotaException"}'), { name: 'QuotaException' })
    t.match(parse(unnamed, '{}'), { name: 'UnknownException' })
  })

  t.test('reads an error from its headers, else from its payload', async (t) => {
    const error = { ':message-type': 'error', ':error-code': 'InternalFailure' }
    t.strictSame(parse({ ...error, ':error-message': 'broken' }, ''), {
      type: 'exception',
      name: 'InternalFailure',
      message: 'broken'
    })
    t.match(parse(error, '{"message":"from payload"}'), { message: 'from payload' })
    t.match(parse({ ':message-type': 'error' }, ''), { name: 'UnknownError' })
  })
})

function parse(headers: Readonly<Record<string, string>>, payload: string) {
  const [frame] = new FrameDecoder().feed(encodeFrame(headers, payload))
  return parseUpstreamEvent(frame!)
}
