import { smallPdf } from '../helper/small-pdf.ts'
import type { Probe, Probed } from './probe.ts'

const PNG = 'iVBORw0KGgoAAAANSUhEUg=='
const PDF = smallPdf(['words']).toString('base64')
const WEB = 'https://pictures.example/a.png'
const base64 = (media_type: string, data: string) => ({ type: 'base64', media_type, data })
const TOOLS = [{ name: 'f', description: 'F', input_schema: { type: 'object', properties: {} } }]
const CALL = { type: 'tool_use', id: 't1', name: 'f', input: { a: 1 } }

/** A block behind a text of the user's. */
function said(block: object, more: Omit<Probe, 'with'> = {}): Probe {
  return {
    with: { messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }, block] }] },
    ...more
  }
}

/** The same in an answer of the assistant's. */
function answered(block: object, more: Omit<Probe, 'with' | 'without'> = {}): Probe {
  const hi = { role: 'user', content: 'hi' }
  const yes = { type: 'text', text: 'Yes.' }
  const turns = (content: object[]) => ({ messages: [hi, { role: 'assistant', content }, hi] })
  return { with: turns([block, yes]), without: turns([yes]), ...more }
}

/** The same for a model that reasons by itself. */
function signed(block: object): Probe {
  const probe = answered(block, { sent: 'reasoningContent' })
  const model = 'claude-opus-5'
  return { ...probe, with: { ...probe.with, model }, without: { ...probe.without, model } }
}

function looped(result: object, more: Omit<Probe, 'with'> = {}): Probe {
  const messages = [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: [CALL] },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', ...result }] }
  ]
  return { with: { tools: TOOLS, messages }, ...more }
}

export const BLOCK_FIELDS: Probed = {
  dialect: 'anthropic-messages',
  base: { model: 'claude-haiku-4.5', messages: [{ role: 'user', content: 'hi' }] },
  probes: {
    'type: text, input_text, output_text, summary_text': said(
      { type: 'input_text', text: ' MORE' },
      { sent: 'hi MORE' }
    ),
    'type: refusal': answered({ type: 'refusal', refusal: 'I will not.' }, { sent: 'I will not.' }),
    'type: image, source.type: base64': said(
      { type: 'image', source: base64('image/png', PNG) },
      { sent: PNG }
    ),
    'type: image, source.type: url': said(
      { type: 'image', source: { type: 'url', url: WEB } },
      { isGot: true }
    ),
    'type: image, source.type: file': said(
      {
        type: 'image',
        source: { type: 'file', file_id: 'x' }
      },
      { refusedAt: 'messages[0].content[1].source.type' }
    ),
    'type: image_url, input_image with a data URL': said(
      { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}` } },
      { sent: PNG }
    ),
    'type: image_url, input_image with an http(s) URL': said(
      { type: 'input_image', image_url: WEB },
      { isGot: true }
    ),
    'image_url.detail, detail': {
      ...said({ type: 'input_image', image_url: `data:image/png;base64,${PNG}`, detail: 'low' }),
      without: said({ type: 'input_image', image_url: `data:image/png;base64,${PNG}` }).with
    },
    'type: document, source.type: text': said(
      { type: 'document', title: 'T', context: 'ABOUT', source: { type: 'text', data: 'WORDS' } },
      { sent: '[Document: T]\\nABOUT\\nWORDS' }
    ),
    'type: document, source.type: content': said(
      { type: 'document', source: { type: 'content', content: 'WORDS' } },
      { sent: '[Document]\\nWORDS' }
    ),
    'type: document of text in base64': said(
      { type: 'document', source: base64('text/x-log', Buffer.from('WORDS').toString('base64')) },
      { sent: 'WORDS' }
    ),
    'type: document, file, input_file: a PDF': said(
      { type: 'document', source: base64('application/pdf', PDF) },
      { sent: PDF }
    ),
    'type: input_image by file_id': said(
      { type: 'input_image', file_id: 'x' },
      { refusedAt: 'messages[0].content[1].file_id' }
    ),
    'type: document, source.type: file': said(
      {
        type: 'document',
        source: { type: 'file', file_id: 'x' }
      },
      { refusedAt: 'messages[0].content[1].source' }
    ),
    'type: file, input_file of text': said(
      {
        type: 'input_file',
        filename: 'a.txt',
        file_data: `data:text/x-log;base64,${Buffer.from('WORDS').toString('base64')}`
      },
      { sent: '[Document: a.txt]\\nWORDS' }
    ),
    'type: file, input_file by file_id': said(
      { type: 'file', file: { file_id: 'x' } },
      { refusedAt: 'messages[0].content[1]' }
    ),
    'type: input_audio, audio': said(
      {
        type: 'input_audio',
        input_audio: { data: 'x', format: 'wav' }
      },
      { refusedAt: 'messages[0].content[1]' }
    ),
    'type: search_result': said(
      {
        type: 'search_result',
        title: 'T',
        source: 's',
        content: [{ type: 'text', text: 'WORDS' }]
      },
      { sent: '[Search result: T, s]\\nWORDS' }
    ),
    'type: tool_use': looped(
      { content: 'done' },
      { sent: '"toolUseId":"t1","name":"f","input":{"a":1}' }
    ),
    'type: tool_result': looped({ content: 'done' }, { sent: '"content":[{"text":"done"}]' }),
    'type: tool_result, is_error': looped(
      { content: 'done', is_error: true },
      { without: looped({ content: 'done' }).with, sent: '"status":"error"' }
    ),
    'type: tool_result with images': looped(
      { content: [{ type: 'image', source: base64('image/png', PNG) }] },
      { sent: PNG }
    ),
    'type: tool_reference': looped(
      { content: [{ type: 'tool_reference', tool_name: 'f' }] },
      { sent: 'The tool \\"f\\" is available now.' }
    ),
    'type: tool_addition, tool_removal': {
      with: {
        tools: TOOLS,
        messages: [
          {
            role: 'system',
            content: [{ type: 'tool_removal', tool: { type: 'tool_reference', name: 'f' } }]
          },
          { role: 'user', content: 'hi' }
        ]
      },
      without: { messages: [{ role: 'user', content: 'hi' }] },
      sent: 'The tool \\"f\\" is no longer available.'
    },
    'type: thinking, redacted_thinking': signed({
      type: 'thinking',
      thinking: 'hm',
      signature: 'c2lnbmVk'.repeat(8)
    }),
    'type: reasoning': answered({ type: 'reasoning', text: 'hm' }),
    'type: server_tool_use, mcp_tool_use': answered(
      { type: 'server_tool_use', id: 's', name: 'web_search', input: { query: 'SEARCHED' } },
      { sent: 'SEARCHED' }
    ),
    'type: web_search_tool_result and other results': answered(
      {
        type: 'web_search_tool_result',
        tool_use_id: 's',
        content: [{ type: 'web_search_result', title: 'FOUND', url: 'https://f.example' }]
      },
      { sent: 'FOUND' }
    ),
    'cache_control, citations': {
      with: {
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'hi', cache_control: { type: 'ephemeral' }, citations: null }
            ]
          }
        ]
      },
      without: { messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }] }
    },
    'any other type with text': said({ type: 'of_the_future', text: ' MORE' }, { sent: 'hi MORE' }),
    'any other type without text': said({ type: 'container_upload', file_id: 'x' })
  }
}
