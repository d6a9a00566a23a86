import t from 'tap'
import { convertBody, convertRequest, type DialectName } from '../../../src/dialects/dialect.ts'
import { lintRequest } from '../../../src/dialects/lint/lint-request.ts'
import type {
  AttachmentContent,
  AttachmentNeeds
} from '../../../src/dialects/request/attachments.ts'
import { readPdfText } from '../../../src/dialects/request/pdf.ts'
import { requestOptions } from '../../helper/request-options.ts'
import { smallPdf } from '../../helper/small-pdf.ts'

const url = 'https://example.com/a'
const png = Buffer.from('\x89PNG\r\n\x1a\nrest', 'latin1').toString('base64')
const pdf = smallPdf(['Hello from a PDF']).toString('base64')
const image: AttachmentContent = { kind: 'image', mediaType: 'image/png', base64: png }

const encode = (body: unknown) => new TextEncoder().encode(JSON.stringify(body))

function needsOf(dialect: DialectName, body: unknown): AttachmentNeeds {
  const made = convertBody(dialect, encode(body), requestOptions())
  return made.type === 'attachments-needed' ? made.needs : { urls: [], pdfs: [] }
}

async function convert(
  dialect: DialectName,
  body: unknown,
  fetched: Record<string, AttachmentContent> = {}
) {
  const { pdfs } = needsOf(dialect, body)
  const contents = await Promise.all(pdfs.map((bytes) => readPdfText(bytes)))
  const got = { fetched, pdfs: contents }
  const made = convertBody(dialect, encode(body), requestOptions(), got)
  if (made.type !== 'converted') throw new Error(made.type)
  const { payload } = made
  const { history = [], currentMessage } = JSON.parse(
    Buffer.from(payload).toString()
  ).conversationState
  return { current: currentMessage.userInputMessage, history }
}

function bodyOf(dialect: DialectName, block: unknown) {
  const message = { role: 'user', content: [block] }
  const model = 'claude-haiku-4.5'
  return dialect === 'openai-responses'
    ? { model, input: [message] }
    : { model, messages: [message] }
}

const images: readonly [DialectName, block: unknown][] = [
  ['openai-chat', { type: 'image_url', image_url: { url } }],
  ['openai-chat', { type: 'image_url', image_url: url }],
  ['openai-responses', { type: 'input_image', image_url: url, detail: 'auto' }],
  ['anthropic-messages', { type: 'image', source: { type: 'url', url } }]
]
for (const [dialect, block] of images) {
  t.test(`${dialect}: ${JSON.stringify(block)}`, async (t) => {
    const body = bodyOf(dialect, block)
    t.throws(() => convertRequest(dialect, encode(body), requestOptions()), {
      message: /has to be fetched/
    })
    t.same(needsOf(dialect, body), { urls: [url], pdfs: [] })
    const { current } = await convert(dialect, body, { [url]: image })
    t.same(current.images, [{ format: 'png', source: { bytes: png } }])
    await t.rejects(convert(dialect, body, { [url]: { kind: 'failed', reason: 'status 404' } }), {
      code: 'GW_BODY_INVALID',
      message: /\/content\/0: .*status 404/
    })
  })
}

const documents: readonly [DialectName, block: unknown][] = [
  [
    'openai-chat',
    { type: 'file', file: { filename: 'a.pdf', file_data: `data:application/pdf;base64,${pdf}` } }
  ],
  [
    'openai-responses',
    { type: 'input_file', filename: 'a.pdf', file_data: `data:application/pdf;base64,${pdf}` }
  ],
  ['openai-responses', { type: 'input_file', filename: 'a.pdf', file_data: pdf }],
  [
    'openai-responses',
    { type: 'input_file', filename: 'a.pdf', file_url: `data:application/pdf;base64,${pdf}` }
  ],
  [
    'openai-chat',
    { type: 'file', file: { filename: 'a.pdf', file_url: `data:application/pdf;base64,${pdf}` } }
  ],
  [
    'anthropic-messages',
    {
      type: 'document',
      title: 'a.pdf',
      source: { type: 'url', url: `data:application/pdf;base64,${pdf}` }
    }
  ],
  [
    'anthropic-messages',
    {
      type: 'document',
      title: 'a.pdf',
      source: { type: 'base64', media_type: 'application/pdf', data: pdf }
    }
  ]
]
for (const [dialect, block] of documents) {
  t.test(`${dialect}: a PDF in ${JSON.stringify(block).slice(0, 60)}`, async (t) => {
    const body = bodyOf(dialect, block)
    t.throws(() => convertRequest(dialect, encode(body), requestOptions()), {
      message: /has to be fetched/
    })
    const needs = needsOf(dialect, body)
    t.same(needs.urls, [])
    t.same(
      needs.pdfs.map((bytes) => Buffer.from(bytes).toString('base64')),
      [pdf]
    )
    const { current } = await convert(dialect, body)
    t.equal(current.content, '[Document: a.pdf]\n[Page 1]\nHello from a PDF')
  })
}

t.test('what is said about a document stays with it, also with a PDF', async (t) => {
  const pdfSource = { type: 'base64', media_type: 'application/pdf', data: pdf }
  const about = { type: 'document', title: 'T', context: 'Of 2019; outdated.' }
  const { current } = await convert(
    'anthropic-messages',
    bodyOf('anthropic-messages', { ...about, source: pdfSource })
  )
  t.match(current.content, /^\[Document: T\]\nOf 2019; outdated\.\n\[Page 1\]/)
})

t.test('documents by URL', async (t) => {
  const cases: readonly [DialectName, block: unknown][] = [
    ['anthropic-messages', { type: 'document', source: { type: 'url', url } }],
    ['openai-responses', { type: 'input_file', file_url: url }]
  ]
  for (const [dialect, block] of cases) {
    const body = bodyOf(dialect, block)
    t.match((await convert(dialect, body, { [url]: { kind: 'text', text: 'plain' } })).current, {
      content: '[Document]\nplain'
    })
  }
})

t.test('what is named again stands where it was named first, as it was sent before', async (t) => {
  const block = { type: 'image', source: { type: 'url', url } }
  const user = (text: string) => ({ role: 'user', content: [block, { type: 'text', text }] })
  const said = [user('What is it?'), { role: 'assistant', content: 'A dot.' }, user('And now?')]
  const convertSaid = (count: number) => {
    const body = { model: 'claude-haiku-4.5', messages: said.slice(0, count) }
    return convert('anthropic-messages', body, { [url]: image })
  }
  const [before, { history, current }] = [await convertSaid(1), await convertSaid(3)]
  t.same(history[0].userInputMessage, before.current)
  t.equal(before.current.images.length, 1)
  t.notOk('images' in current)
  t.match(current.content, /^\[What stands here is shown above.*\]And now\?$/)
})

t.test('text files are read as they are', async (t) => {
  const data = `data:text/markdown;base64,${Buffer.from('# Hi').toString('base64')}`
  const chat = bodyOf('openai-chat', { type: 'file', file: { filename: 'a.md', file_data: data } })
  t.match((await convert('openai-chat', chat)).current, { content: '[Document: a.md]\n# Hi' })
})

t.test('a file may be a data URL where others have a URL', async (t) => {
  const text = `data:text/x-log;base64,${Buffer.from('# Hi').toString('base64')}`
  const picture = `data:image/png;base64,${png}`
  const file = (file_url: string) =>
    bodyOf('openai-responses', { type: 'input_file', filename: 'a.md', file_url })
  t.match((await convert('openai-responses', file(text))).current, {
    content: '[Document: a.md]\n# Hi'
  })
  t.match((await convert('openai-responses', file(picture))).current, {
    images: [{ format: 'png', source: { bytes: png } }]
  })
  const source = { type: 'url', url: text }
  const document = bodyOf('anthropic-messages', { type: 'document', title: 'a.md', source })
  t.match((await convert('anthropic-messages', document)).current, {
    content: '[Document: a.md]\n# Hi'
  })
  await t.rejects(convert('openai-responses', file('data:video/mp4;base64,AAAA')), {
    code: 'GW_BODY_INVALID',
    message: /only PDF/
  })
})

t.test('uploaded files and other types are refused', async (t) => {
  for (const file of [{ file_id: 'file_1' }, { file_data: 'data:video/mp4;base64,AAAA' }, {}]) {
    const body = bodyOf('openai-chat', { type: 'file', file })
    await t.rejects(convert('openai-chat', body), { code: 'GW_BODY_INVALID', message: /only PDF/ })
  }
})

t.test('what can no longer be read does not end a conversation', async (t) => {
  const failed: AttachmentContent = { kind: 'failed', reason: 'status 410' }

  t.test('in an earlier turn', async (t) => {
    const messages = [
      { role: 'user', content: [{ type: 'image', source: { type: 'url', url } }] },
      { role: 'assistant', content: 'A cat.' },
      { role: 'user', content: 'And now?' }
    ]
    const body = { model: 'claude-haiku-4.5', messages }
    const { history } = await convert('anthropic-messages', body, { [url]: failed })
    t.match(history[0].userInputMessage.content, /could not be read: status 410/)
  })

  t.test('in the result of a tool, where a PDF without text is none either', async (t) => {
    const source = {
      type: 'base64',
      media_type: 'application/pdf',
      data: smallPdf(['']).toString('base64')
    }
    const messages = [
      { role: 'user', content: 'Read it.' },
      {
        role: 'assistant',
        content: [{ type: 'tool_use', id: 't1', name: 'Read', input: { url } }]
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 't1', content: [{ type: 'document', source }] }
        ]
      }
    ]
    const tools = [{ name: 'Read', description: 'Reads.', input_schema: { type: 'object' } }]
    const body = { model: 'claude-haiku-4.5', tools, messages }
    const { current } = await convert('anthropic-messages', body)
    t.match(
      current.userInputMessageContext.toolResults[0].content[0].text,
      /no text, only pictures/
    )
  })
})

t.test("what looks like an attachment in a tool's arguments is left alone", async (t) => {
  const input = { content: [{ type: 'image', source: { type: 'url', url } }] }
  const messages = [
    { role: 'user', content: 'Go.' },
    { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'f', input }] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: 'ok' }] }
  ]
  const body = { model: 'auto', messages }
  t.same(needsOf('anthropic-messages', body), { urls: [], pdfs: [] })
})

t.test(
  'what would have to be fetched where nothing is fetched is a mistake of the client',
  async (t) => {
    const image = { type: 'image', source: { type: 'url', url } }
    const system = {
      model: 'claude-haiku-4.5',
      system: [image],
      messages: [{ role: 'user', content: 'x' }]
    }
    await t.rejects(convert('anthropic-messages', system), {
      code: 'GW_BODY_INVALID',
      message: /^system\[0\]/
    })
    t.match(
      lintRequest(encode(system), { dialect: 'anthropic-messages', request: requestOptions() }),
      {
        findings: [{ severity: 'refused', rule: 'content-text', pointer: /^\/system\/0/ }]
      }
    )
    const noUrl = bodyOf('openai-chat', { type: 'image_url', image_url: { url: 'https:a.png' } })
    await t.rejects(convert('openai-chat', noUrl), { message: /must be a data URL/ })
  }
)
