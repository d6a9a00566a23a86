import { COUNT_MEMBERS } from '../count-members.ts'
import {
  type JsonSchema,
  amount,
  anyOf,
  describedRecord,
  fixed,
  list,
  oneOf,
  optional,
  orNull,
  record,
  refTo,
  string
} from '../json-schema.ts'

const FINISH_REASON = oneOf(
  ['stop', 'length', 'tool_calls', 'function_call', 'content_filter'],
  'Why the answer ended. `length` also where the upstream ended it before its time.'
)

const HEAD = {
  id: string('Another one for each answer.'),
  created: amount('Seconds since 1970.'),
  model: string('As the request named it.')
}

const CALLED = {
  name: string('The tool, as the request named it.'),
  arguments: string('JSON text.')
}

/** Only the first piece of a call has the name. */
const CALLED_IN_PIECES = { ...CALLED, name: optional(CALLED.name) }

const REASONING = string('What the model thought before it spoke, where it was asked to think.')

/** Answers of Chat Completions, and the chunks of a stream. */
export const ChatAnswers: Readonly<Record<string, JsonSchema>> = {
  ChatCompletion: record({
    ...HEAD,
    object: fixed('chat.completion'),
    system_fingerprint: { type: 'null' },
    choices: list(
      record({
        index: amount('Always 0: there is one choice.'),
        message: refTo('ChatAnswerMessage'),
        finish_reason: FINISH_REASON,
        logprobs: { type: 'null' }
      })
    ),
    usage: refTo('ChatUsage')
  }),
  ChatAnswerMessage: record({
    role: fixed('assistant'),
    content: orNull(string('`null` where there are only calls.')),
    refusal: { type: 'null' },
    annotations: { type: 'array', maxItems: 0 },
    reasoning_content: optional(REASONING),
    tool_calls: optional(
      list(
        record({
          id: string('To be repeated in `tool_call_id` of the result.'),
          type: fixed('function'),
          function: record(CALLED)
        })
      )
    ),
    function_call: optional(describedRecord('For requests with `functions`.', CALLED))
  }),
  ChatUsage: record({
    prompt_tokens: amount('Tokens that were read, those from the cache included.'),
    completion_tokens: amount('Tokens that were written.'),
    total_tokens: amount('Both together.'),
    prompt_tokens_details: optional(record({ cached_tokens: amount('Of these from the cache.') })),
    completion_tokens_details: optional(
      record({ reasoning_tokens: amount('Of these for thinking.') })
    ),
    ...COUNT_MEMBERS,
    credits_used: optional({
      type: 'number',
      description: 'Credits, as the upstream metered them.'
    })
  }),
  ChatChunk: describedRecord(
    'The `data` of one event. `usage` is in the last, where `stream_options.include_usage` asked for it.',
    {
      ...HEAD,
      object: fixed('chat.completion.chunk'),
      choices: list(
        record({
          index: amount('Always 0.'),
          delta: refTo('ChatDelta'),
          finish_reason: orNull(FINISH_REASON)
        }),
        'One choice; none in the chunk that has the `usage`.'
      ),
      usage: optional(refTo('ChatUsage'))
    }
  ),
  ChatDelta: record({
    role: optional(fixed('assistant')),
    content: optional(string('What comes next of the text.')),
    reasoning_content: optional(REASONING),
    tool_calls: optional(
      list(
        record({
          index: amount('Which call of the answer.'),
          id: optional(string('In the first piece of a call, like `type`.')),
          type: optional(fixed('function')),
          function: record(CALLED_IN_PIECES)
        })
      )
    ),
    function_call: optional(record(CALLED_IN_PIECES))
  }),
  ChatStreamEvent: anyOf(
    [refTo('ChatChunk'), refTo('OpenAiError')],
    'What `data:` of an event has. After a whole answer comes `data: [DONE]`; after an error it does not. Lines that begin with `:` are heartbeats.'
  )
}
