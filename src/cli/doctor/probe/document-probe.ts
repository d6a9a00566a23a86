import { randomInt } from 'node:crypto'
import { isAnswered, isRefused } from './asker.ts'
import { NO_FORM, type Probe, UNCLEAR } from './probe.ts'
import { type Question, userMessage } from './question.ts'

const READING_MODELS = [
  'claude-haiku-5.5',
  'claude-haiku-4.5',
  'claude-sonnet-4.6',
  'claude-sonnet-5'
]

export const documents: Probe = {
  id: 'P4',
  question: 'Are PDFs read natively, and also in earlier turns?',
  answers: {
    read: { means: 'PDFs are read, in the current message and in earlier ones.', change: null },
    'current-only': {
      means:
        'PDFs are read only in the current message; in earlier ones they are dropped or refused.',
      change:
        'Set NATIVE_DOCUMENTS=false to keep their text throughout a conversation, and report it.'
    },
    dropped: {
      means: 'The upstream answers and does not see the PDF.',
      change: 'Set NATIVE_DOCUMENTS=false to send its text instead.'
    },
    refused: {
      means: 'The upstream refuses requests with a PDF.',
      change: 'Set NATIVE_DOCUMENTS=false to send its text instead.'
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

function randomWord(): string {
  return Array.from({ length: 10 }, () => 'BCDFGHKLMNPRSTVZ'[randomInt(16)]).join('')
}

/** One-page PDF without compression (ISO 32000). `word` is ASCII without parentheses. */
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
