import type { getDocumentProxy } from 'unpdf'
import type { AttachmentContent } from './attachments.ts'
import { unpacksToTooMuch } from './pdf-streams.ts'

/** More text than this fits into no model's window. */
const MaxChars = 400_000

/** The library writes warnings to the console otherwise. */
const SILENT = 0

/** What has been read by then is the text; one page that takes longer ends the thread (`PDF_MAX_MS`). */
const MaxMs = 2_500

/** For the client, whoever finds it out. */
export const PDF_TOO_COSTLY = 'the PDF takes too much to read'

/** What is in a PDF. */
export type PdfContent = Exclude<AttachmentContent, { kind: 'image' }>

export interface PdfTextOptions {
  readonly maxChars?: number
  /** The library has been loaded. */
  readonly onBegin?: () => void
}

/**
 * The text of a PDF, page by page; the upstream takes none. Never rejects: what can't be read is `failed` with
 * words for the client. Takes the bytes. The library is loaded with the first PDF.
 */
export async function readPdfText(
  bytes: Uint8Array,
  { maxChars = MaxChars, onBegin }: PdfTextOptions = {}
): Promise<PdfContent> {
  const { getDocumentProxy: open, getResolvedPDFJS: load } = await import('unpdf')
  await load()
  onBegin?.()
  const deadline = performance.now() + MaxMs
  try {
    if (unpacksToTooMuch(bytes, deadline)) return failed(PDF_TOO_COSTLY)
    // The library takes no `Buffer`.
    const taken = Buffer.isBuffer(bytes) ? new Uint8Array(bytes) : bytes
    const pdf = await open(taken, { verbosity: SILENT })
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

async function readPages(pdf: Pdf, maxChars: number, deadline: number): Promise<PdfContent> {
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

function failed(reason: string): PdfContent {
  return { kind: 'failed', reason }
}
