import type { DialectName } from '../../src/dialects/dialect.ts'

/** A body that once took time by the square of its size. */
export interface QuadraticBody {
  readonly name: string
  readonly dialect: DialectName
  /** Of about so many bytes. */
  readonly bodyOf: (bytes: number) => object
}

const HI = { role: 'user', content: 'hi' }
const TOOLS = [{ type: 'function', function: { name: 'f' } }]

/** Bodies of all kinds that were found, for tests and for the abuse run. */
export const quadraticBodies: readonly QuadraticBody[] = [
  {
    name: 'one id for many short calls beside a long one',
    dialect: 'openai-chat',
    bodyOf: (bytes) => {
      const calls = times(bytes / 2 / 60, () => call('a', '{}'))
      const long = call('a', JSON.stringify({ text: 'x'.repeat(bytes / 2) }))
      return chatBody([HI, { role: 'assistant', tool_calls: [long, ...calls] }], TOOLS)
    }
  },
  {
    name: 'calls without ids, then their results',
    dialect: 'openai-chat',
    bodyOf: (bytes) => {
      const count = bytes / 90
      const calls = times(count, () => call('', '{}'))
      const results = times(count, () => ({ role: 'tool', content: '' }))
      return chatBody([HI, { role: 'assistant', tool_calls: calls }, ...results], TOOLS)
    }
  },
  {
    name: 'one namespace named again and again among the allowed tools',
    dialect: 'openai-responses',
    bodyOf: (bytes) => ({
      ...responsesBody([namespace('n', numbered(bytes / 2 / 30))]),
      tool_choice: {
        type: 'allowed_tools',
        mode: 'auto',
        tools: times(bytes / 2 / 36, () => ({ type: 'namespace', name: 'n' }))
      }
    })
  },
  {
    name: 'names that joining makes equal',
    dialect: 'openai-responses',
    bodyOf: (bytes) => {
      const count = bytes / 2 / 34
      const taken = times(count, (at) => ({ type: 'function', name: `a__b__c_${at + 2}` }))
      const pairs = times(count / 2, () => [
        namespace('a', [{ type: 'function', name: 'b__c' }]),
        namespace('a__b', [{ type: 'function', name: 'c' }])
      ])
      return responsesBody([...taken, ...pairs.flat(), ...underscored(bytes / 2)])
    }
  },
  {
    name: 'properties below fifty levels of allOf',
    dialect: 'anthropic-messages',
    bodyOf: (bytes) => schemaBody(nested('allOf', 50, propertiesOf(bytes / 14)))
  },
  {
    name: 'required names below forty levels of anyOf',
    dialect: 'anthropic-messages',
    bodyOf: (bytes) => schemaBody(nested('anyOf', 40, propertiesOf(bytes / 22)))
  },
  {
    name: 'halves of surrogate pairs among backslashes',
    dialect: 'anthropic-messages',
    bodyOf: (bytes) => ({
      model: 'auto',
      messages: [{ role: 'user', content: `\ud800${'\\'.repeat(bytes / 4)}\ud800\\ud800` }]
    })
  },
  {
    name: 'ids of many joined ids',
    dialect: 'openai-responses',
    bodyOf: (bytes) => ({
      model: 'auto',
      input: [{ type: 'function_call', call_id: times(bytes / 7, (at) => at).join('|'), name: 'f' }]
    })
  },
  {
    name: 'documents whose long names differ at their end, each twice',
    dialect: 'openai-chat',
    bodyOf: (bytes) => {
      const count = Math.floor(bytes / 320)
      const files = times(count, (at) => ({
        type: 'file',
        file: {
          filename: `${'n'.repeat(194)}${at % Math.ceil(count / 2)}.txt`.padStart(204, 'n'),
          file_data: 'data:text/plain;base64,YQ=='
        }
      }))
      return chatBody([{ role: 'user', content: files }], [])
    }
  },
  {
    name: 'words of a vendor’s block, nested',
    dialect: 'anthropic-messages',
    bodyOf: (bytes) => {
      let content: object = { text: 'x'.repeat(bytes) }
      for (let depth = 0; depth < 110; depth++) content = { title: 't', content: [content] }
      return { model: 'auto', messages: [{ role: 'user', content: [{ type: 'new', content }] }] }
    }
  }
]

function chatBody(messages: readonly object[], tools: readonly object[]): object {
  return { model: 'auto', messages, tools }
}

function responsesBody(tools: readonly object[]): object {
  return { model: 'auto', input: 'hi', tools }
}

function schemaBody(input_schema: object): object {
  return { model: 'auto', messages: [HI], tools: [{ name: 'f', input_schema }] }
}

function call(id: string, args: string): object {
  return { id, function: { name: 'f', arguments: args } }
}

function namespace(name: string, tools: readonly object[]): object {
  return { type: 'namespace', name, tools }
}

function numbered(count: number): object[] {
  return times(count, (at) => ({ type: 'function', name: `t${at}` }))
}

/** Every way to cut one name of underscores in two joins to the same name again. Too long for tools to be offered. */
function underscored(bytes: number): object[] {
  const length = Math.floor(Math.sqrt(bytes))
  const whole = '_'.repeat(length)
  return times(length - 4, (at) =>
    namespace(whole.slice(0, at + 1), [{ type: 'function', name: whole.slice(at + 3) }])
  )
}

function propertiesOf(count: number): object {
  const properties = Object.fromEntries(times(count, (at) => [`p${at}`, {}]))
  return { properties, required: Object.keys(properties) }
}

function nested(combinator: string, depth: number, inner: object): object {
  let schema = inner
  for (let level = 0; level < depth; level++) schema = { [combinator]: [schema] }
  return schema
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: Math.ceil(count) }, (_, index) => make(index))
}
