import type { DialectName } from '../../src/dialects/dialect.ts'

/** A body of which every byte could become many for the upstream. */
export interface MultiplyingBody {
  readonly name: string
  readonly dialect: DialectName
  /** Of about so many bytes. */
  readonly bodyOf: (bytes: number) => object
}

const USER = { role: 'user', content: 'a' }
const ASSISTANT = { role: 'assistant' }
const LONG_NAME = 'a-model-that-nobody-knows'.repeat(10)

export const multiplyingBodies: readonly MultiplyingBody[] = [
  {
    name: 'a long model name in every turn',
    dialect: 'openai-chat',
    bodyOf: (bytes) => ({
      model: LONG_NAME,
      messages: times(bytes / 52, () => [USER, ASSISTANT]).flat()
    })
  },
  {
    name: 'messages of nothing',
    dialect: 'anthropic-messages',
    bodyOf: (bytes) => ({
      model: 'auto',
      messages: times(bytes / 24, () => [{}, ASSISTANT]).flat()
    })
  },
  {
    name: 'items of one letter',
    dialect: 'openai-responses',
    bodyOf: (bytes) => ({
      model: LONG_NAME,
      input: times(bytes / 28, () => ['', ASSISTANT]).flat()
    })
  },
  {
    name: 'calls without results',
    dialect: 'openai-chat',
    bodyOf: (bytes) => ({
      model: 'auto',
      tools: [{ type: 'function', function: { name: 'f' } }],
      messages: [
        USER,
        { ...ASSISTANT, tool_calls: times(bytes / 28, () => ({ function: { name: 'f' } })) }
      ]
    })
  },
  {
    name: 'arguments that become text',
    dialect: 'anthropic-messages',
    bodyOf: (bytes) => ({
      model: 'auto',
      messages: [
        USER,
        {
          role: 'assistant',
          content: [
            { type: 'tool_use', id: 'a', name: 'f', input: { text: '\\"'.repeat(bytes / 4) } }
          ]
        }
      ]
    })
  },
  {
    name: 'a summary of control characters',
    dialect: 'openai-responses',
    bodyOf: (bytes) => ({
      model: 'auto',
      input: [
        {
          type: 'compaction',
          encrypted_content: `kiro-gateway.${Buffer.alloc((bytes * 3) / 4, 1).toString('base64')}`
        }
      ]
    })
  }
]

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: Math.ceil(count) }, (_, index) => make(index))
}
