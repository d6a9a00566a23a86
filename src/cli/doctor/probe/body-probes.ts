import { randomInt } from 'node:crypto'
import { type Asker, isAnswered, isRefused } from './asker.ts'
import { CHEAP_MODELS, GREETING, NO_FORM, type Probe, UNCLEAR } from './probe.ts'
import { type Question, userMessage } from './question.ts'

/** What the upstream takes in the body of a request: documents, and shapes that the gateway avoids (kiro-protocol §4). */

const READING_MODELS = [
  'claude-haiku-5.5',
  'claude-haiku-4.5',
  'claude-sonnet-4.6',
  'claude-sonnet-5'
]

export const documents: Probe = {
  id: 'P4',
  question: 'Are PDFs read as they are, and also in an earlier turn?',
  answers: {
    read: { means: 'PDFs are read, in the current message and in earlier ones.', change: null },
    'current-only': {
      means:
        'PDFs are read in the current message alone; in earlier ones they are dropped or refused.',
      change: 'NATIVE_DOCUMENTS=false keeps their text through a whole conversation; report it.'
    },
    dropped: {
      means: 'The upstream answers and does not see the PDF.',
      change: 'NATIVE_DOCUMENTS=false sends its text instead.'
    },
    refused: {
      means: 'The upstream refuses requests with a PDF.',
      change: 'NATIVE_DOCUMENTS=false sends its text instead.'
    },
    unclear: UNCLEAR
  },
  skip: (asker) => {
    if (asker.form === null) return NO_FORM
    return asker.modelOf(READING_MODELS) === null
      ? 'the account has no model that reads PDFs'
      : null
  },
  async ask(asker) {
    const word = randomWord()
    const bytes = wordPdf(word).toString('base64')
    const pdf = [{ name: 'probe', format: 'pdf', source: { bytes } } as const]
    const modelId = asker.modelOf(READING_MODELS) ?? ''
    const content = 'Which word is in the document? Reply with this word alone.'
    const asked: Question = { form: asker.form ?? 'path', modelId, content }
    const now = await asker.generate('PDF in the current message', { ...asked, documents: pdf })
    if (!isAnswered(now)) return isRefused(now) ? 'refused' : 'unclear'
    if (!now.text.includes(word)) return 'dropped'
    const history = [
      { userInputMessage: { ...userMessage(asked, 'Keep this document.'), documents: pdf } },
      { assistantResponseMessage: { content: 'I will.' } }
    ]
    const later = await asker.generate('PDF in an earlier turn', { ...asked, history })
    if (!isAnswered(later) && !isRefused(later)) return 'unclear'
    return later.text.includes(word) ? 'read' : 'current-only'
  }
}

/** One that no model says by itself. */
function randomWord(): string {
  return Array.from({ length: 10 }, () => 'BCDFGHKLMNPRSTVZ'[randomInt(16)]).join('')
}

/** A PDF of one page with one word on it, without compression (ISO 32000). `word` is ASCII without parentheses. */
function wordPdf(word: string): Buffer {
  const stream = `BT /F1 36 Tf 72 700 Td (${word}) Tj ET`
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    '<< /Type /Pages /Count 1 /Kids [3 0 R] >>',
    '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>',
    `<< /Length ${stream.length} >>\nstream\n${stream}\nendstream`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>'
  ]
  let text = '%PDF-1.4\n'
  const places = objects.map((object, index) => {
    const place = text.length
    text += `${index + 1} 0 obj\n${object}\nendobj\n`
    return `${String(place).padStart(10, '0')} 00000 n \n`
  })
  const size = objects.length + 1
  const table = `xref\n0 ${size}\n0000000000 65535 f \n${places.join('')}`
  return Buffer.from(
    `${text}${table}trailer\n<< /Size ${size} /Root 1 0 R >>\nstartxref\n${text.length}\n%%EOF\n`
  )
}

const TAKEN = {
  means: 'The upstream takes it: the gateway repairs more than it has to.',
  change: 'Report it: the rule can be relaxed.'
}

/** A shape of which reports differ: taken, or refused as the gateway expects. */
function shapeProbe(
  id: string,
  question: string,
  shape: (asker: Asker) => Partial<Question>
): Probe {
  return {
    id,
    question,
    answers: {
      taken: TAKEN,
      refused: { means: 'It is refused, as expected: the gateway repairs it.', change: null },
      unclear: UNCLEAR
    },
    skip: ({ form }) => (form === null ? NO_FORM : null),
    async ask(asker) {
      const modelId = asker.modelOf(CHEAP_MODELS) ?? 'auto'
      const asked: Question = { form: asker.form ?? 'path', modelId, content: GREETING }
      const outcome = await asker.generate(question, { ...asked, ...shape(asker) })
      return isAnswered(outcome) ? 'taken' : isRefused(outcome) ? 'refused' : 'unclear'
    }
  }
}

interface ToolOptions {
  readonly name?: string
  readonly description?: string
  readonly schema?: object
}

function tool({ name = 'look_up', description = 'Looks up.', schema = {} }: ToolOptions) {
  const json = { type: 'object', properties: { q: { type: 'string' } }, ...schema }
  return { toolSpecification: { name, description, inputSchema: { json } } }
}

export const shapes: readonly Probe[] = [
  shapeProbe('P7a', 'Is a blank text beside tool results taken?', (asker) => {
    const modelId = asker.modelOf(CHEAP_MODELS) ?? 'auto'
    const use = { toolUseId: 'probe_1', name: 'look_up', input: { q: 'x' } }
    const result = { toolUseId: 'probe_1', content: [{ text: 'one' }], status: 'success' } as const
    return {
      form: 'path',
      content: '',
      history: [
        { userInputMessage: userMessage({ modelId }, 'Look up x, then reply with OK.') },
        { assistantResponseMessage: { content: 'I look.', toolUses: [use] } }
      ],
      context: { tools: [tool({})], toolResults: [{ ...result, content: [{ text: 'one' }] }] }
    }
  }),
  shapeProbe(
    'P7b',
    'Is a tool with "additionalProperties: false" and "required: []" taken?',
    () => ({
      context: { tools: [tool({ schema: { additionalProperties: false, required: [] } })] }
    })
  ),
  shapeProbe('P7c', 'Is a tool description of 15 000 characters taken?', () => ({
    context: { tools: [tool({ description: 'Looks up a word. '.repeat(883).slice(0, 15_000) })] }
  })),
  shapeProbe('P7d', 'Is a tool name of 64 characters with a dot in it taken?', () => ({
    context: { tools: [tool({ name: `look.up_${'x'.repeat(56)}` })] }
  }))
]
