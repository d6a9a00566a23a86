/** A call of a tool that an answer has. */
export interface Call {
  readonly id: string
  readonly name: string
  /** As JSON. */
  readonly input: string
}

/** A question of an agent and its whole answer. */
export interface Turn {
  readonly question: string
  readonly said: string
  readonly calls: readonly Call[]
  /** Result of each call, which the next question brings. */
  readonly results: readonly string[]
}

const TOOL = {
  name: 'read_file',
  description: 'Reads a file.',
  schema: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] }
}

/** How a call stands behind the text of an answer, where it is compared. */
export function textOfCall({ name, input }: Pick<Call, 'name' | 'input'>): string {
  return `\n${name} ${input}`
}

/** Asks for calls of the tool, in the simulator's words. */
export function wishFor(paths: readonly string[]): string {
  if (paths.length === 0) return ''
  const wishes = paths.map((path) => `${TOOL.name} with ${JSON.stringify({ path })}`)
  return ` use tools ${wishes.join(' and ')}`
}

export function expectedCalls(paths: readonly string[]): string {
  return paths
    .map((path) => textOfCall({ name: TOOL.name, input: JSON.stringify({ path }) }))
    .join('')
}

/** Results of the calls of a turn, and the next question, for a client whose gateway knows the rest. */
export function nextInput({ calls, results }: Turn, last: string): readonly object[] {
  return [...outputsOf(calls, results), { role: 'user', content: last }]
}

function outputsOf(calls: readonly Call[], results: readonly string[]): readonly object[] {
  return calls.map(({ id }, at) => ({
    type: 'function_call_output',
    call_id: id,
    output: results[at]
  }))
}

/** Members of a request that offer the tool and tell what was said before, in each dialect; `last` is the new question. */
export const requestsOf = {
  chat: (before: readonly Turn[], last: string) => ({
    tools: [
      {
        type: 'function',
        function: { name: TOOL.name, description: TOOL.description, parameters: TOOL.schema }
      }
    ],
    messages: [
      ...before.flatMap(({ question, said, calls, results }) => [
        { role: 'user', content: question },
        {
          role: 'assistant',
          content: said,
          ...(calls.length > 0 && {
            tool_calls: calls.map(({ id, name, input }) => ({
              id,
              type: 'function',
              function: { name, arguments: input }
            }))
          })
        },
        ...calls.map(({ id }, at) => ({ role: 'tool', tool_call_id: id, content: results[at] }))
      ]),
      { role: 'user', content: last }
    ]
  }),

  messages: (before: readonly Turn[], last: string) => {
    const messages: object[] = []
    let results: object[] = []
    for (const turn of before) {
      const text = { type: 'text', text: turn.question }
      messages.push({ role: 'user', content: [...results, text] })
      const uses = turn.calls.map(({ id, name, input }) => ({
        type: 'tool_use',
        id,
        name,
        input: JSON.parse(input) as object
      }))
      messages.push({ role: 'assistant', content: [{ type: 'text', text: turn.said }, ...uses] })
      results = turn.calls.map(({ id }, at) => ({
        type: 'tool_result',
        tool_use_id: id,
        content: turn.results[at]
      }))
    }
    messages.push({ role: 'user', content: [...results, { type: 'text', text: last }] })
    const { name, description, schema } = TOOL
    return { tools: [{ name, description, input_schema: schema }], messages }
  },

  responses: (before: readonly Turn[], last: string) => ({
    tools: [
      { type: 'function', name: TOOL.name, description: TOOL.description, parameters: TOOL.schema }
    ],
    input: [
      ...before.flatMap(({ question, said, calls, results }) => [
        { role: 'user', content: question },
        { role: 'assistant', content: said },
        ...calls.map(({ id, name, input }) => ({
          type: 'function_call',
          call_id: id,
          name,
          arguments: input
        })),
        ...outputsOf(calls, results)
      ]),
      { role: 'user', content: last }
    ]
  })
}
