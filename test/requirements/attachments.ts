import type { Test } from 'tap'
import { smallPdf } from '../helper/small-pdf.ts'
import { CHAT, chat, MESSAGES, messages, RESPONSES, responses } from './dialects.ts'
import { MODEL, type Stand } from './stand.ts'

const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const PDF = smallPdf(['The page says heliotrope']).toString('base64')

/** Images and PDFs, in content and in the results of tools. */
export async function checkAttachments(t: Test, stand: Stand): Promise<void> {
  const image = { type: 'image', source: base64('image/png', PIXEL) }
  const pdf = { type: 'document', source: base64('application/pdf', PDF) }
  const imageUrl = `data:image/png;base64,${PIXEL}`
  const pdfUrl = `data:application/pdf;base64,${PDF}`
  const checkSent = async (path: string, body: object): Promise<void> => {
    const { status, text } = await stand.call(path, { body: { model: MODEL, ...body } })
    t.equal(status, 200, text.slice(0, 300))
    const sent = JSON.stringify(stand.lastSent)
    t.equal(sent.split(PIXEL).length - 1, 2, `${path}: both images`)
    t.equal(sent.split(PDF).length - 1, 2, `${path}: both PDFs as they are`)
  }

  await checkSent(MESSAGES, {
    max_tokens: 100,
    tools: [messages.tool('Read')],
    messages: [
      user([image, pdf, { type: 'text', text: 'Read.' }]),
      { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'Read', input: {} }] },
      user([{ type: 'tool_result', tool_use_id: 't1', content: [image, pdf] }])
    ]
  })
  const called = { id: 'c1', type: 'function', function: { name: 'Read', arguments: '{}' } }
  const parts = [
    { type: 'image_url', image_url: { url: imageUrl, detail: 'auto' } },
    { type: 'file', file: { filename: 'a.pdf', file_data: pdfUrl } }
  ]
  await checkSent(CHAT, {
    tools: [chat.tool('Read')],
    messages: [
      user(parts),
      { role: 'assistant', content: null, tool_calls: [called] },
      { role: 'tool', tool_call_id: 'c1', content: parts }
    ]
  })
  const inputParts = [
    { type: 'input_image', image_url: imageUrl, detail: 'auto' },
    { type: 'input_file', filename: 'a.pdf', file_data: pdfUrl }
  ]
  await checkSent(RESPONSES, {
    tools: [responses.tool('Read')],
    input: [
      user(inputParts),
      { type: 'function_call', call_id: 'c1', name: 'Read', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c1', output: inputParts }
    ]
  })
}

function base64(media_type: string, data: string) {
  return { type: 'base64', media_type, data }
}

function user(content: unknown) {
  return { role: 'user', content }
}
