import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CHINESE } from './chinese.ts'

/** Kinds of text whose counts are tried, and requests of each in many sizes. */
export const KINDS = [
  'prose',
  'code',
  'JSON',
  'Chinese',
  'images',
  '20 tools',
  'agent session'
] as const

export type Kind = (typeof KINDS)[number]

export type Random = () => number

/** Makes a request for Messages. */
export function requestOf(kind: Kind, model: string, random: Random): object {
  const head = { model, max_tokens: 4096, stream: true }
  switch (kind) {
    case 'prose':
    case 'code':
    case 'JSON':
    case 'Chinese':
      return { ...head, ...talk(kind, sizeIn(random, 4_000, 80_000), random) }
    case 'images':
      return { ...head, messages: [{ role: 'user', content: pictures(random) }] }
    case '20 tools':
      return {
        ...head,
        tools: tools(random),
        ...talk('prose', sizeIn(random, 1_000, 20_000), random)
      }
    case 'agent session':
      return { ...head, ...session(sizeIn(random, 20_000, 200_000), random) }
  }
}

const ROOT = join(import.meta.dirname, '..', '..')

function filesIn(folder: string, end: string): string {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(end))
    .toSorted()
    .map((name) => readFileSync(join(ROOT, folder, name), 'utf8'))
    .join('\n')
}

const SOURCES: Readonly<Record<'prose' | 'code' | 'JSON', () => string>> = {
  prose: () => filesIn('docs', '.md'),
  code: () => filesIn('src', '.ts'),
  JSON: () => readFileSync(join(ROOT, 'docs', 'openapi.json'), 'utf8')
}

/** Texts by kind, read once. Bounded by the kinds. */
const texts = new Map<string, string>()

function textOf(kind: 'prose' | 'code' | 'JSON'): string {
  const found = texts.get(kind)
  if (found !== undefined) return found
  const text = SOURCES[kind]()
  texts.set(kind, text)
  return text
}

type TextKind = Exclude<Kind, 'images' | '20 tools' | 'agent session'>

function slice(kind: TextKind, chars: number, random: Random): string {
  if (kind === 'Chinese') return chinese(chars, random)
  const text = textOf(kind)
  const from = Math.floor(random() * Math.max(1, text.length - chars))
  return text.slice(from, from + chars)
}

function chinese(chars: number, random: Random): string {
  let text = ''
  while (text.length < chars) {
    text += CHINESE[Math.floor(random() * CHINESE.length)] ?? ''
    if (random() < 0.2) text += '\n'
  }
  return text.slice(0, chars)
}

/** Sizes on a scale of powers: small ones are as frequent as large ones. */
function sizeIn(random: Random, least: number, most: number): number {
  return Math.round(least * (most / least) ** random())
}

function talk(kind: TextKind, chars: number, random: Random): object {
  const messages: object[] = []
  let left = kind === 'Chinese' ? chars / 3 : chars
  while (left > 0) {
    const length = Math.min(left, sizeIn(random, 500, 20_000))
    const role = messages.length % 2 === 0 ? 'user' : 'assistant'
    messages.push({ role, content: slice(kind, length, random) })
    left -= length
  }
  if (messages.length % 2 === 0) messages.push({ role: 'user', content: 'Go on.' })
  return { system: 'You are a careful assistant.', messages }
}

function pictures(random: Random): readonly object[] {
  const count = 1 + Math.floor(random() * 4)
  const images = Array.from({ length: count }, () => ({
    type: 'image',
    source: { type: 'base64', media_type: 'image/png', data: picture(random) }
  }))
  return [{ type: 'text', text: slice('prose', sizeIn(random, 2_000, 20_000), random) }, ...images]
}

const PNG_HEAD = '89504e470d0a1a0a0000000d49484452'

/** A PNG's header, and as many bytes as a picture may have behind it. */
function picture(random: Random): string {
  const size = Buffer.alloc(8)
  size.writeUInt32BE(200 + Math.floor(random() * 2_400), 0)
  size.writeUInt32BE(200 + Math.floor(random() * 1_400), 4)
  const noise = Buffer.from(
    Array.from({ length: 3_000 + Math.floor(random() * 30_000) }, () => Math.floor(random() * 256))
  )
  return Buffer.concat([Buffer.from(PNG_HEAD, 'hex'), size, noise]).toString('base64')
}

const TYPES = ['string', 'number', 'boolean']

function tools(random: Random): readonly object[] {
  return Array.from({ length: 20 }, (_, index) => {
    const names = Array.from(
      { length: 2 + Math.floor(random() * 5) },
      (_name, at) => `${wordAt(random)}_${at}`
    )
    const properties = Object.fromEntries(
      names.map((name) => [
        name,
        {
          type: TYPES[Math.floor(random() * TYPES.length)],
          description: slice('prose', sizeIn(random, 20, 200), random)
        }
      ])
    )
    return {
      name: `${wordAt(random)}_${index}`,
      description: slice('prose', sizeIn(random, 100, 3_000), random),
      input_schema: { type: 'object', properties, required: names.slice(0, 1) }
    }
  })
}

const WORDS = ['read', 'write', 'search', 'path', 'query', 'limit', 'pattern', 'command', 'timeout']

function wordAt(random: Random): string {
  return WORDS[Math.floor(random() * WORDS.length)] ?? 'word'
}

const RESULTS: readonly TextKind[] = ['code', 'code', 'prose', 'JSON']

/** A session as coding agents have it: instructions, tools, calls and what came of them. */
function session(chars: number, random: Random): object {
  const messages: object[] = [{ role: 'user', content: slice('prose', 1_200, random) }]
  const offered = tools(random)
  for (let left = chars, turn = 0; left > 0; turn++) {
    const id = `toolu_${String(turn).padStart(24, '0')}`
    const kind = RESULTS[Math.floor(random() * RESULTS.length)] ?? 'code'
    const length = sizeIn(random, 200, 16_000)
    messages.push(
      {
        role: 'assistant',
        content: [
          { type: 'text', text: slice('prose', sizeIn(random, 40, 400), random) },
          {
            type: 'tool_use',
            id,
            name: 'read_0',
            input: { path: `src/${wordAt(random)}/${wordAt(random)}.ts`, limit: turn }
          }
        ]
      },
      {
        role: 'user',
        content: [{ type: 'tool_result', tool_use_id: id, content: slice(kind, length, random) }]
      }
    )
    left -= length
  }
  return {
    system: slice('prose', 8_000, random),
    tools: [{ ...offered[0], name: 'read_0' }, ...offered.slice(1, 12)],
    messages
  }
}
