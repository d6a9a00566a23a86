/** Requests as they may be sent; a test sends each to a gateway. By the name of the operation, and then by their own. */
export type ExampleRequests = Readonly<Record<string, Example>>

export interface Example {
  readonly summary: string
  readonly value: object
}

const MODEL = 'claude-sonnet-5.5'
const QUESTION = 'How many moons has Mars?'

const WEATHER = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city']
}
const ASKED = 'What is the weather in Ghent?'
const TOLD = '14 degrees, rain.'
const DESCRIPTION = 'Tells the weather of a city.'

const chatTools = [
  {
    type: 'function',
    function: { name: 'weather', description: DESCRIPTION, parameters: WEATHER }
  }
]

export const ChatExamples: ExampleRequests = {
  whole: {
    summary: 'An answer in one piece',
    value: { model: MODEL, messages: [{ role: 'user', content: QUESTION }] }
  },
  stream: {
    summary: 'A stream, with its usage at the end',
    value: {
      model: MODEL,
      stream: true,
      stream_options: { include_usage: true },
      messages: [
        { role: 'system', content: 'Answer in one sentence.' },
        { role: 'user', content: QUESTION }
      ]
    }
  },
  tools: {
    summary: 'A tool that must be called',
    value: {
      model: MODEL,
      messages: [{ role: 'user', content: ASKED }],
      tools: chatTools,
      tool_choice: 'required'
    }
  },
  result: {
    summary: 'What came of the call',
    value: {
      model: MODEL,
      messages: [
        { role: 'user', content: ASKED },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: 'call_1',
              type: 'function',
              function: { name: 'weather', arguments: '{"city":"Ghent"}' }
            }
          ]
        },
        { role: 'tool', tool_call_id: 'call_1', content: TOLD }
      ],
      tools: chatTools
    }
  },
  thinking: {
    summary: 'A model that thinks first',
    value: {
      model: MODEL,
      reasoning_effort: 'high',
      messages: [{ role: 'user', content: QUESTION }]
    }
  }
}

export const MessagesExamples: ExampleRequests = {
  whole: {
    summary: 'An answer in one piece',
    value: { model: MODEL, max_tokens: 1024, messages: [{ role: 'user', content: QUESTION }] }
  },
  stream: {
    summary: 'A stream',
    value: {
      model: MODEL,
      max_tokens: 1024,
      stream: true,
      system: 'Answer in one sentence.',
      messages: [{ role: 'user', content: QUESTION }]
    }
  },
  tools: {
    summary: 'A tool that must be called',
    value: {
      model: MODEL,
      max_tokens: 1024,
      messages: [{ role: 'user', content: ASKED }],
      tools: [{ name: 'weather', description: DESCRIPTION, input_schema: WEATHER }],
      tool_choice: { type: 'any' }
    }
  },
  result: {
    summary: 'What came of the call',
    value: {
      model: MODEL,
      max_tokens: 1024,
      messages: [
        { role: 'user', content: ASKED },
        {
          role: 'assistant',
          content: [{ type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Ghent' } }]
        },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: TOLD }]
        }
      ],
      tools: [{ name: 'weather', description: DESCRIPTION, input_schema: WEATHER }]
    }
  },
  thinking: {
    summary: 'A model that thinks first',
    value: {
      model: MODEL,
      max_tokens: 4096,
      stream: true,
      thinking: { type: 'enabled', budget_tokens: 2048 },
      messages: [{ role: 'user', content: QUESTION }]
    }
  },
  search: {
    summary: 'A search of the web',
    value: {
      model: MODEL,
      max_tokens: 1024,
      messages: [{ role: 'user', content: 'Search the web: which moons has Mars?' }],
      tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 2 }]
    }
  }
}

export const ResponsesExamples: ExampleRequests = {
  whole: { summary: 'An answer in one piece', value: { model: MODEL, input: QUESTION } },
  stream: {
    summary: 'A stream',
    value: {
      model: MODEL,
      stream: true,
      store: false,
      instructions: 'Answer in one sentence.',
      input: [{ type: 'message', role: 'user', content: QUESTION }]
    }
  },
  tools: {
    summary: 'A tool that must be called',
    value: {
      model: MODEL,
      stream: true,
      input: ASKED,
      tools: [{ type: 'function', name: 'weather', description: DESCRIPTION, parameters: WEATHER }],
      tool_choice: 'required'
    }
  },
  result: {
    summary: 'What came of the call',
    value: {
      model: MODEL,
      input: [
        { type: 'message', role: 'user', content: ASKED },
        {
          type: 'function_call',
          call_id: 'call_1',
          name: 'weather',
          arguments: '{"city":"Ghent"}'
        },
        { type: 'function_call_output', call_id: 'call_1', output: TOLD }
      ],
      tools: [{ type: 'function', name: 'weather', description: DESCRIPTION, parameters: WEATHER }]
    }
  },
  compaction: {
    summary: 'A conversation that is summed up',
    value: {
      model: MODEL,
      input: [
        { type: 'message', role: 'user', content: QUESTION },
        { type: 'message', role: 'assistant', content: 'Two: Phobos and Deimos.' },
        { type: 'compaction_trigger' }
      ]
    }
  }
}

export const CountExamples: ExampleRequests = {
  count: {
    summary: 'How large a request is',
    value: { model: MODEL, messages: [{ role: 'user', content: QUESTION }] }
  }
}

export const InputCountExamples: ExampleRequests = {
  count: { summary: 'How large a request is', value: { model: MODEL, input: QUESTION } }
}

export const LintExamples: ExampleRequests = {
  repaired: {
    summary: 'Two turns of one role, which are joined',
    value: {
      model: MODEL,
      messages: [
        { role: 'user', content: QUESTION },
        { role: 'user', content: 'And which?' }
      ]
    }
  },
  refused: {
    summary: 'No message at all',
    value: { model: MODEL, max_tokens: 1024, messages: [] }
  }
}
