import type { DialectName } from '../../src/dialects/dialect.ts'
import * as fc from './fast-check.ts'

/**
 * Conversations as clients grow them: each request repeats the one before, with the answer and a new user turn behind it.
 * Within them is what tempts a gateway to write the past anew: system messages on the way, turns without words, results in
 * another order or missing, tools that nobody offers, ids and names that the upstream does not take.
 */
export interface GrownTurn {
  readonly words: readonly string[]
  readonly hasImage: boolean
  /** Of the results of the calls before it: how many are left out, and whether the last call's comes first. */
  readonly missing: number
  readonly isReversed: boolean
  /** What a client's system message says, and where it stands. */
  readonly note: { readonly text: string; readonly isBefore: boolean } | null
  /** What the model answers to this turn. */
  readonly answer: {
    readonly text: string
    readonly isThought: boolean
    readonly calls: readonly { readonly id: string; readonly name: string; readonly arg: string }[]
  }
}

export interface GrownConversation {
  readonly model: string
  readonly system: readonly string[]
  readonly tools: readonly string[]
  readonly effort: string | null
  readonly session: string | null
  readonly turns: readonly GrownTurn[]
}

const NAMES = ['f', 'g.h', 'g_h', '7', `${'long'.repeat(30)}er`]
/** More images than the upstream takes cost a conversation its prefix: only the newest are sent. */
const MAX_TURNS = 6

const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ maxLength: 12 }) },
  fc.constantFrom('', ' ', '\n', '(empty)', 'Continue.', '\ud800', '漢字🎉', '"}],"', '</thinking>')
)

const turn: fc.Arbitrary<GrownTurn> = fc.record({
  words: fc.array(text, { maxLength: 2 }),
  hasImage: fc.nat({ max: 5 }).map((number) => number === 0),
  missing: fc.nat({ max: 4 }).map((number) => Math.max(0, number - 3)),
  isReversed: fc.boolean(),
  note: fc.option(fc.record({ text, isBefore: fc.boolean() }), { freq: 3 }),
  answer: fc.record({
    text,
    isThought: fc.boolean(),
    calls: fc.array(
      fc.record({
        id: fc.constantFrom('', 'a', 'b', 'c d', 'c_d', 'x|y'.repeat(30)),
        name: fc.constantFrom(...NAMES, 'nobody'),
        arg: text
      }),
      { maxLength: 3 }
    )
  })
})

export const grownConversations: fc.Arbitrary<GrownConversation> = fc.record({
  model: fc.constantFrom('claude-opus-4.8', 'claude-haiku-4.5', 'gpt-5.6-sol', 'auto'),
  system: fc.array(text, { maxLength: 3 }),
  tools: fc.oneof(fc.constant(NAMES), fc.subarray(NAMES)),
  effort: fc.constantFrom(null, null, 'high'),
  session: fc.constantFrom(null, 's-1'),
  turns: fc.array(turn, { minLength: 2, maxLength: MAX_TURNS })
})

const PIXEL = 'iVBORw0KGgo='
const SCHEMA = { type: 'object', properties: { arg: { type: 'string' } } }

/** The request that ends with the turn of that number, in one client API. */
export function requestAt(dialect: DialectName, of: GrownConversation, last: number): object {
  return WRITERS[dialect](of, last)
}

type Writer = (of: GrownConversation, last: number) => object

const WRITERS: Readonly<Record<DialectName, Writer>> = {
  'anthropic-messages': (of, last) => ({
    model: of.model,
    max_tokens: 1000,
    // Claude Code's first line is another one in each request.
    system: [`x-anthropic-billing-header: cc_version=${last};`, ...of.system].map((one) => ({
      type: 'text',
      text: one
    })),
    ...(of.session !== null && {
      metadata: { user_id: JSON.stringify({ session_id: of.session }) }
    }),
    ...(of.effort !== null && { output_config: { effort: of.effort } }),
    tools: of.tools.map((name) => ({ name, input_schema: SCHEMA })),
    messages: messagesOf(of, last, {
      system: (content) => [{ role: 'system', content }],
      user: (turn, results) => [
        {
          role: 'user',
          content: [
            ...results.map(({ id, text: content }) => ({
              type: 'tool_result',
              tool_use_id: id,
              content
            })),
            ...turn.words.map((one) => ({ type: 'text', text: one })),
            ...(turn.hasImage
              ? [
                  {
                    type: 'image',
                    source: { type: 'base64', media_type: 'image/png', data: PIXEL }
                  }
                ]
              : [])
          ]
        }
      ],
      assistant: ({ text: said, isThought, calls }) => [
        {
          role: 'assistant',
          content: [
            ...(isThought ? [{ type: 'thinking', thinking: 'hm', signature: 's' }] : []),
            { type: 'text', text: said },
            ...calls.map(({ id, name, arg }) => ({ type: 'tool_use', id, name, input: { arg } }))
          ]
        }
      ]
    })
  }),
  'openai-chat': (of, last) => ({
    model: of.model,
    ...(of.session !== null && { prompt_cache_key: of.session }),
    ...(of.effort !== null && { reasoning_effort: of.effort }),
    tools: of.tools.map((name) => ({ type: 'function', function: { name, parameters: SCHEMA } })),
    messages: [
      ...of.system.map((content) => ({ role: 'system', content })),
      ...messagesOf(of, last, {
        system: (content) => [{ role: 'developer', content }],
        user: (turn, results) => [
          ...results.map(({ id, text: content }) => ({ role: 'tool', tool_call_id: id, content })),
          ...(turn.words.length > 0 || turn.hasImage || results.length === 0
            ? [{ role: 'user', content: chatParts(turn) }]
            : [])
        ],
        assistant: ({ text: content, calls }) => [
          {
            role: 'assistant',
            content,
            tool_calls: calls.map(({ id, name, arg }) => ({
              id,
              type: 'function',
              function: { name, arguments: JSON.stringify({ arg }) }
            }))
          }
        ]
      })
    ]
  }),
  'openai-responses': (of, last) => ({
    model: of.model,
    instructions: of.system[0] ?? 'I',
    ...(of.session !== null && { prompt_cache_key: of.session }),
    ...(of.effort !== null && { reasoning: { effort: of.effort } }),
    tools: of.tools.map((name) => ({ type: 'function', name, parameters: SCHEMA })),
    input: [
      ...of.system.slice(1).map((content) => ({ role: 'developer', content })),
      ...messagesOf(of, last, {
        system: (content) => [{ role: 'developer', content }],
        user: (turn, results) => [
          ...results.map(({ id, text: output }) => ({
            type: 'function_call_output',
            call_id: id,
            output
          })),
          ...(turn.words.length > 0 || turn.hasImage || results.length === 0
            ? [{ role: 'user', content: responsesParts(turn) }]
            : [])
        ],
        assistant: ({ text: said, isThought, calls }) => [
          ...(isThought ? [{ type: 'reasoning', id: 'rs_1', summary: [] }] : []),
          { role: 'assistant', content: [{ type: 'output_text', text: said }] },
          ...calls.map(({ id, name, arg }) => ({
            type: 'function_call',
            call_id: id,
            name,
            arguments: JSON.stringify({ arg })
          }))
        ]
      })
    ]
  })
}

function chatParts({ words, hasImage }: GrownTurn): readonly object[] {
  const url = `data:image/png;base64,${PIXEL}`
  return [
    ...words.map((one) => ({ type: 'text', text: one })),
    ...(hasImage ? [{ type: 'image_url', image_url: { url } }] : [])
  ]
}

function responsesParts({ words, hasImage }: GrownTurn): readonly object[] {
  return [
    ...words.map((one) => ({ type: 'input_text', text: one })),
    ...(hasImage ? [{ type: 'input_image', image_url: `data:image/png;base64,${PIXEL}` }] : [])
  ]
}

interface Result {
  readonly id: string
  readonly text: string
}

interface MessageForms {
  readonly system: (text: string) => readonly object[]
  readonly user: (turn: GrownTurn, results: readonly Result[]) => readonly object[]
  readonly assistant: (answer: GrownTurn['answer']) => readonly object[]
}

function messagesOf({ turns }: GrownConversation, last: number, forms: MessageForms): object[] {
  return turns.slice(0, last + 1).flatMap((turn, index) => {
    const results = resultsOf(turns[index - 1], turn)
    const note = turn.note === null ? [] : forms.system(turn.note.text)
    const isBefore = turn.note?.isBefore === true
    return [
      ...(isBefore ? note : []),
      ...forms.user(turn, results),
      ...(isBefore ? [] : note),
      ...(index < last ? forms.assistant(turn.answer) : [])
    ]
  })
}

function resultsOf(
  before: GrownTurn | undefined,
  { missing, isReversed }: GrownTurn
): readonly Result[] {
  const results = (before?.answer.calls ?? []).map(({ id, arg }) => ({ id, text: `of ${arg}` }))
  return (isReversed ? results.toReversed() : results).slice(missing)
}
