import type { getDocumentProxy } from 'unpdf'
import type { AttachmentContent } from './attachments.ts'
import { unpacksToTooMuch } from './pdf-streams.ts'

/** More text than this fits into no model's window. */
const MaxChars = 400_000

/** The library writes warnings to the console otherwise. */
const SILENT = 0

/** One document must not keep a thread from everybody else's requests. */
const MaxMs = 15_000

/** For the client, whoever finds it out. */
export const PDF_TOO_COSTLY = 'the PDF takes too much to read'

/**
 * The text of a PDF, page by page; the upstream takes none. Never rejects: what can't be read is `failed` with
 * words for the client. The library is loaded with the first PDF.
 */
export async function readPdfText(base64: string, maxChars = MaxChars): Promise<AttachmentContent> {
  const { getDocumentProxy: open } = await import('unpdf')
  const deadline = performance.now() + MaxMs
  try {
    const bytes = new Uint8Array(Buffer.from(base64, 'base64'))
    if (unpacksToTooMuch(bytes, deadline)) return failed(PDF_TOO_COSTLY)
    const pdf = await open(bytes, { verbosity: SILENT })
    try {
      return await readPages(pdf, maxChars, deadline)
    } finally {
      await pdf.loadingTask.destroy()
    }
  } catch (cause) {
    const isLocked = cause instanceof Error && cause.name === 'PasswordException'
    return failed(isLocked ? 'the PDF is protected by a password' : 'it is no valid PDF')
  }
}

type Pdf = Awaited<ReturnType<typeof getDocumentProxy>>

async function readPages(pdf: Pdf, maxChars: number, deadline: number): Promise<AttachmentContent> {
  let text = ''
  let hasText = false
  for (let number = 1; number <= pdf.numPages; number++) {
    if (text.length > maxChars || performance.now() > deadline) {
      text += `\n\n[The rest, from page ${number} of ${pdf.numPages} on, is left out.]`
      break
    }
    const words = await readPage(pdf, number)
    if (words !== '') hasText = true
    text += `${text === '' ? '' : '\n\n'}[Page ${number}]\n${words}`
  }
  return hasText ? { kind: 'text', text } : failed('the PDF has no text, only pictures')
}

async function readPage(pdf: Pdf, number: number): Promise<string> {
  const page = await pdf.getPage(number)
  const { items } = await page.getTextContent()
  let text = ''
  for (const item of items) {
    if ('str' in item) text += item.hasEOL ? `${item.str}\n` : item.str
  }
  page.cleanup()
  return text.trim()
}

function failed(reason: string): AttachmentContent {
  return { kind: 'failed', reason }
}
