import t from 'tap'
import { MessagesBodyCheck, ToolCheck } from '../../src/dialects/anthropic-messages/schema.ts'
import { ChatBodyCheck } from '../../src/dialects/openai-chat/schema.ts'
import { Items, ResponsesBodyCheck, Tools } from '../../src/dialects/openai-responses/schema.ts'
import { NamedFunctionCheck } from '../../src/dialects/request/shape.ts'
import { refusalOf } from '../helper/convert.ts'
import { BLOCK_FIELDS } from './block-fields.ts'
import { CHAT_FIELDS } from './chat-fields.ts'
import { readFieldTable } from './field-table.ts'
import { MESSAGES_FIELDS } from './messages-fields.ts'
import { checkTreatment, type Probed } from './probe.ts'
import { RESPONSES_FIELDS } from './responses-fields.ts'
import { pathsOf } from './schema-paths.ts'

const itemPaths = Object.values(Items).flatMap((item) => pathsOf(item.Schema(), 'input[]'))
const toolPaths = Object.values(Tools).flatMap((tool) => pathsOf(tool.Schema(), 'tools[]'))

/** Each heading of docs/compatibility.md, what shows its rows, and all members that the code names. */
const TABLES: readonly {
  readonly heading: string
  readonly probed: Probed
  readonly schema: readonly string[]
}[] = [
  {
    heading: 'Chat Completions',
    probed: CHAT_FIELDS,
    schema: [
      ...pathsOf(ChatBodyCheck.Schema()),
      ...pathsOf(NamedFunctionCheck.Schema(), 'tools[].function')
    ]
  },
  {
    heading: 'Responses',
    probed: RESPONSES_FIELDS,
    schema: [...pathsOf(ResponsesBodyCheck.Schema()), ...itemPaths, ...toolPaths]
  },
  {
    heading: 'Messages',
    probed: MESSAGES_FIELDS,
    schema: [...pathsOf(MessagesBodyCheck.Schema()), ...pathsOf(ToolCheck.Schema(), 'tools[]')]
  },
  { heading: 'Content blocks', probed: BLOCK_FIELDS, schema: [] }
]

for (const { heading, probed, schema } of TABLES) {
  t.test(`docs/compatibility.md, ${heading}`, async (t) => {
    const rows = readFieldTable(heading)
    const fields = rows.map(({ field }) => field)

    t.test('has each field once, and every member that the code reads', async (t) => {
      t.equal(new Set(fields).size, fields.length)
      t.same(
        schema.filter((path) => !fields.includes(path)),
        [],
        'members without a row'
      )
      t.same(fields.toSorted(), Object.keys(probed.probes).toSorted(), 'each row is shown')
    })

    for (const row of rows) {
      t.test(`${row.field} is ${row.treatment}`, async (t) => checkTreatment(t, row, probed))
    }
  })
}

t.test('a member of a wrong type is refused by its name, wherever the type matters', async (t) => {
  for (const { probed } of TABLES.slice(0, 3)) {
    const { dialect, base } = probed
    const check = {
      'openai-chat': ChatBodyCheck,
      'openai-responses': ResponsesBodyCheck,
      'anthropic-messages': MessagesBodyCheck
    }[dialect]
    const { properties } = check.Schema()
    for (const [name, schema] of Object.entries(properties)) {
      if (Object.keys(schema).length === 0) continue // of any type
      const takesNumbers = JSON.stringify(schema).includes('"number"')
      const error = refusalOf(dialect, { ...base, [name]: takesNumbers ? 'wrong' : 1.5 })
      t.match(
        error,
        { code: 'GW_BODY_INVALID', status: 400, param: name, message: name },
        `${dialect} ${name}`
      )
    }
  }
})
