import t from 'tap'
import { formatOf, toDocumentName } from '../../../src/kiro/conversation/documents.ts'
import { convertBody, convertRequest, type DialectName } from '../../../src/dialects/dialect.ts'
import { checkRequest } from '../../strict-simulator/request-rules.ts'
import { requestOptions } from '../../helper/request-options.ts'
import { smallPdf } from '../../helper/small-pdf.ts'

/** `%PDF-1.4` and a line feed. */
const PDF = 'JVBERi0xLjQK'
const options = requestOptions({ sendsDocuments: true })
const encode = (body: unknown) => new TextEncoder().encode(JSON.stringify(body))

const pdf = (title?: string, data = PDF) => ({
  type: 'document',
  ...(title !== undefined && { title }),
  source: { type: 'base64', media_type: 'application/pdf', data }
})
const user = (content: unknown) => ({ role: 'user', content })

/** The conversation that goes up, which the simulator must take. */
function sent(dialect: DialectName, said: unknown[], changes = {}) {
  const member = dialect === 'openai-responses' ? 'input' : 'messages'
  const body = { model: 'claude-sonnet-5', max_tokens: 500, [member]: said, ...changes }
  const { payload, plan } = convertRequest(dialect, encode(body), options)
  const json = JSON.parse(Buffer.from(payload).toString())
  t.notOk('status' in checkRequest(json), JSON.stringify(checkRequest(json)).slice(0, 300))
  const { currentMessage, history = [] } = json.conversationState
  return { current: currentMessage.userInputMessage, history, repairs: plan.repairs }
}

const document = (name: string, format = 'pdf', bytes = PDF) => ({
  name,
  format,
  source: { bytes }
})

t.test('a PDF goes up as it is, in every dialect', async (t) => {
  const filename = 'Q3 report (final).pdf'
  const fileData = `data:application/pdf;base64,${PDF}`
  const text = { type: 'text', text: 'Summarise' }
  const cases: readonly [DialectName, unknown[]][] = [
    ['anthropic-messages', [pdf(filename), text]],
    ['openai-chat', [{ type: 'file', file: { filename, file_data: fileData } }, text]],
    ['openai-chat', [{ type: 'file', file: { filename, file_data: PDF } }, text]],
    ['openai-responses', [{ type: 'input_file', filename, file_data: fileData }, text]],
    ['openai-responses', [{ type: 'input_file', filename, file_url: fileData }, text]],
    [
      'anthropic-messages',
      [{ type: 'document', title: filename, source: { type: 'url', url: fileData } }, text]
    ]
  ]
  for (const [dialect, content] of cases) {
    const { current, repairs } = sent(dialect, [user(content)])
    t.same(current, {
      content: 'Summarise',
      modelId: 'claude-sonnet-5',
      origin: 'AI_EDITOR',
      documents: [document('Q3 report (final)')]
    })
    t.same(repairs, [], 'nothing was repaired')
  }
})

t.test('names', async (t) => {
  const names: readonly (readonly [string, string])[] = [
    ['../a/Übersicht_2026.v2.pdf', 'Ubersicht_2026-v2'],
    ['報告.pdf', '--'],
    ['', 'document'],
    ['  a   b .PDF', 'a b'],
    ['C:\\x\\y.docx', 'y'],
    ['a'.repeat(300), 'a'.repeat(200)],
    [`${'a'.repeat(199)} b`, 'a'.repeat(199)],
    ['.pdf', 'document'],
    ['a\u0000b\u001b[31m\r\nc.pdf', 'a-b-[31m--c'],
    [`${'/'.repeat(2000)}a.pdf`, 'a'],
    ['a.b', 'a-b']
  ]
  for (const [title, name] of names) t.equal(toDocumentName(title), name, title)
  const { current } = sent('anthropic-messages', [
    user(['a.pdf', 'a.pdf', 'a (2)', undefined].map((one) => pdf(one)))
  ])
  t.same(
    current.documents.map(({ name }: { name: string }) => name),
    ['a', 'a (2)', 'a (2) (2)', 'document']
  )
  const long = ['1', '2', '1', '2'].map((end) => pdf('n'.repeat(199) + end))
  const taken = sent('anthropic-messages', [user(long)]).current.documents
  t.same(
    taken.map(({ name }: { name: string }) => name),
    [
      `${'n'.repeat(199)}1`,
      `${'n'.repeat(199)}2`,
      ...[2, 3].map((n) => `${'n'.repeat(190)} (${n})`)
    ]
  )
})

t.test('the sixth from the newest becomes a note behind its message', async (t) => {
  const said = Array.from({ length: 6 }, (_, index) => [
    user([pdf(`${index}.pdf`), { type: 'text', text: 'Read' }]),
    { role: 'assistant', content: 'ok' }
  ]).flat()
  const body = encode({ model: 'claude-sonnet-5', messages: said.slice(0, -1) })
  const made = convertBody('anthropic-messages', body, options)
  t.equal(made.type === 'attachments-needed' && made.needs.pdfs.length, 1, 'its text is wanted')
  const unread = {
    fetched: {},
    pdfs: [{ kind: 'failed', reason: 'it is not a valid PDF' } as const]
  }
  const second = convertBody('anthropic-messages', body, options, unread)
  if (second.type !== 'converted') throw new Error(second.type)
  const json = JSON.parse(Buffer.from(second.payload).toString())
  t.notOk('status' in checkRequest(json))
  const { history, currentMessage } = json.conversationState
  const current = currentMessage.userInputMessage
  const { repairs } = second.plan
  t.equal(history[0].userInputMessage.content, 'Read\n\n[Document "0" (pdf) was attached here.]')
  t.notOk('documents' in history[0].userInputMessage)
  t.same(history[2].userInputMessage.documents, [document('1')])
  t.same(current.documents, [document('5')])
  t.same(repairs, ['document-as-text'])
})

t.test('older text formats stand as text where they were', async (t) => {
  const csv = {
    type: 'document',
    title: 'x.csv',
    source: { type: 'base64', media_type: 'text/csv', data: 'YSxi' }
  }
  const { current } = sent('anthropic-messages', [user(Array.from({ length: 6 }, () => csv))])
  t.equal(current.content, '[Document: x.csv]\na,b')
  t.equal(current.documents.length, 5)
  t.same(current.documents[0], document('x (2)', 'csv', 'YSxi'))
})

t.test('a document without words, and one in the result of a tool', async (t) => {
  t.equal(sent('anthropic-messages', [user([pdf()])]).current.content, 'Continue.')
  const tools = [{ name: 'f', description: 'f', input_schema: { type: 'object', properties: {} } }]
  const said = [
    user('go'),
    { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'f', input: {} }] },
    user([{ type: 'tool_result', tool_use_id: 't1', content: [pdf('a.pdf')] }])
  ]
  const { current } = sent('anthropic-messages', said, { tools })
  t.same(current.documents, [document('a')], 'hoisted out of the result')
  const file = { type: 'input_file', filename: 'a.pdf', file_data: PDF }
  const called = [
    user('go'),
    { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' },
    { type: 'function_call_output', call_id: 'c1', output: [file] }
  ]
  const offered = { tools: [{ type: 'function', name: 'f', parameters: { type: 'object' } }] }
  t.same(sent('openai-responses', called, offered).current.documents, [document('a')])
  const lying = [
    ...said.slice(0, 2),
    user([{ type: 'tool_result', tool_use_id: 't1', content: [pdf('a', 'QUJD')] }])
  ]
  const { current: told, repairs } = sent('anthropic-messages', lying, { tools })
  t.notOk('documents' in told)
  t.same(repairs, ['document-omitted'], 'the conversation can go on')
})

t.test('what is not what it says is refused by name of its place', async (t) => {
  const docx = 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'
  const bad: readonly [mediaType: string, data: string, RegExp][] = [
    ['application/pdf', 'QUJD', /content\/0: is declared as pdf/],
    [docx, PDF, /content\/0: is declared as docx/],
    ['text/csv', 'AAECAw==', /content\/0: is declared as csv/],
    ['text/plain', Buffer.alloc(2000, 1).toString('base64'), /content\/0: is declared as txt/],
    ['application/pdf', '', /content\/0: is empty/],
    ['application/pdf', 'JVBE!', /content\/0: is not base64/],
    [docx, `UEsDB${'A'.repeat(1_200_003)}`, /content\/0: is too large/]
  ]
  for (const [media_type, data, message] of bad) {
    const block = { type: 'document', source: { type: 'base64', media_type, data } }
    t.throws(() => sent('anthropic-messages', [user([block])]), {
      code: 'GW_BODY_INVALID',
      message
    })
    const file_data = `data:${media_type};base64,${data}`
    const filename = 'report'
    const inChat = user([{ type: 'file', file: { filename, file_data } }])
    t.throws(() => sent('openai-chat', [inChat]), { code: 'GW_BODY_INVALID', message })
    const item = user([{ type: 'input_file', filename, file_data }])
    const said = [item, { role: 'assistant', content: 'ok' }, user('on')]
    t.throws(() => sent('openai-responses', said), { code: 'GW_BODY_INVALID', message })
  }
})

t.test('PDFs that are encrypted or too large are read for their text first', async (t) => {
  const locked = Buffer.from('%PDF-1.4\ntrailer << /Encrypt 5 0 R >>').toString('base64')
  const large = Buffer.concat([Buffer.from('%PDF-1.4\n'), Buffer.alloc(1_000_000)]).toString(
    'base64'
  )
  for (const data of [locked, large]) {
    const body = { model: 'auto', messages: [user([pdf('a', data)])] }
    const made = convertBody('anthropic-messages', encode(body), options)
    t.equal(made.type === 'attachments-needed' && made.needs.pdfs.length, 1)
    const text = { fetched: {}, pdfs: [{ kind: 'text', text: 'its words' } as const] }
    const second = convertBody('anthropic-messages', encode(body), options, text)
    t.ok(second.type === 'converted' && Buffer.from(second.payload).includes('its words'))
    t.same(
      second.type === 'converted' && second.plan.repairs,
      data === large ? ['document-large'] : []
    )
  }
})

t.test('a PDF behind a URL goes up as it is', async (t) => {
  const url = 'https://example.com/a.pdf'
  const block = { type: 'document', title: 'a', source: { type: 'url', url } }
  const body = { model: 'auto', messages: [user([block])] }
  const made = convertBody('anthropic-messages', encode(body), options)
  t.match(made, { needs: { urls: [url], documentUrls: [url], pdfs: [] } })
  const base64 = smallPdf(['x']).toString('base64')
  const second = convertBody('anthropic-messages', encode(body), options, {
    fetched: { [url]: { kind: 'pdf', base64 } },
    pdfs: []
  })
  if (second.type !== 'converted') throw new Error(second.type)
  const { currentMessage } = JSON.parse(Buffer.from(second.payload).toString()).conversationState
  t.same(currentMessage.userInputMessage.documents, [document('a', 'pdf', base64)])
})

t.test('a PDF that is named again counts once, where it was named first', async (t) => {
  const url = 'https://example.com/a.pdf'
  const named = { type: 'document', title: 'a', source: { type: 'url', url } }
  const messages = [user([named]), ...[1, 2, 3, 4].map((n) => user([pdf(`${n}`), named]))]
  const body = encode({ model: 'auto', messages })
  const fetched = { [url]: { kind: 'pdf', base64: PDF } as const }
  const made = convertBody('anthropic-messages', body, options, { fetched, pdfs: [] })
  if (made.type !== 'converted') throw new Error(made.type)
  const { currentMessage } = JSON.parse(Buffer.from(made.payload).toString()).conversationState
  t.same(
    currentMessage.userInputMessage.documents.map(({ name }: { name: string }) => name),
    ['a', '1', '2', '3', '4']
  )
  t.same(made.plan.repairs, ['turns-merged'])
})

t.test('formats', async (t) => {
  t.equal(formatOf('text/plain; charset=utf-8', ''), 'txt')
  t.equal(formatOf('', 'a.XLSX'), 'xlsx')
  t.equal(formatOf('application/octet-stream', 'a.md'), 'md')
  t.equal(formatOf('text/x-python', 'a.txt'), null)
  t.equal(formatOf('', 'constructor'), null)
})
