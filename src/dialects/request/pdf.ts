import { constants, inflateRawSync } from 'node:zlib'
import type { getDocumentProxy } from 'unpdf'
import type { AttachmentContent } from './attachments.ts'
import { codeOf } from '../../shared/errors.ts'

/** More text fits into no model's window. */
const MaxChars = 400_000

const SILENT = 0

/** Reading time, after which the text so far is used; one longer page ends the thread (`PDF_MAX_MS`). */
const MaxMs = 2_500

/** Message for the client; the caller's watchdog uses it, too. */
export const PDF_TOO_COSTLY = 'the PDF takes too much to read'

type PdfContent = Exclude<AttachmentContent, { kind: 'image' | 'pdf' }>

interface PdfTextOptions {
  readonly maxChars?: number
  readonly onBegin?: () => void
}

/** Returns `failed` for the unreadable, worded for the client. Takes ownership of the bytes. */
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
    // The library refuses a `Buffer`.
    const taken = Buffer.isBuffer(bytes) ? new Uint8Array(bytes) : bytes
    const pdf = await open(taken, { verbosity: SILENT })
    try {
      return await readPages(pdf, maxChars, deadline)
    } finally {
      await pdf.loadingTask.destroy()
    }
  } catch (cause) {
    const isLocked = cause instanceof Error && cause.name === 'PasswordException'
    return failed(isLocked ? 'the PDF is protected by a password' : 'it is not a valid PDF')
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

/** Decoded bytes per stream: a page of text has some ten thousand, a detailed map a few million. */
const MAX_STREAM_BYTES = 16 * 1024 * 1024
/** Decoded bytes in all: fonts and pages of a book of some thousand pages. */
const MAX_TOTAL_BYTES = 64 * 1024 * 1024

const KEYWORD = 'stream'
const DICTIONARY_BYTES = 512
const ZLIB_HEADER_BYTES = 2
/** Fits Node's pool: the default takes 16 KiB for every stream, however short. */
const CHUNK_BYTES = 4000

/**
 * Pictures do not count, as they are not unpacked for text; other packings are left to the library's
 * watchdog. Reaching `deadline`, a time of `performance.now()`, counts as too much.
 */
export function unpacksToTooMuch(pdf: Uint8Array, deadline: number): boolean {
  const bytes = Buffer.from(pdf.buffer, pdf.byteOffset, pdf.byteLength)
  let total = 0
  let from = 0
  for (;;) {
    const at = bytes.indexOf(KEYWORD, from)
    if (at < 0) return false
    from = at + KEYWORD.length
    const start = startOfZlib(bytes, from)
    if (start === null || isPicture(bytes, at)) continue
    const size = unpackedSize(bytes.subarray(start + ZLIB_HEADER_BYTES))
    total += size
    if (size > MAX_STREAM_BYTES || total > MAX_TOTAL_BYTES || performance.now() > deadline) {
      return true
    }
  }
}

function startOfZlib(bytes: Buffer, from: number): number | null {
  let start = from
  while (bytes[start] === 0x0d || bytes[start] === 0x0a || bytes[start] === 0x20) start++
  const method = bytes[start] ?? 0
  const isZlib = (method & 0x0f) === 8 && ((method << 8) | (bytes[start + 1] ?? 0)) % 31 === 0
  return isZlib ? start : null
}

function isPicture(bytes: Buffer, keywordAt: number): boolean {
  const near = bytes.toString('latin1', Math.max(0, keywordAt - DICTIONARY_BYTES), keywordAt)
  return /\/Subtype\s*\/Image\b/.test(near.slice(near.lastIndexOf(' obj') + 1))
}

/** Ignores the checksum, as PDF readers do; broken data counts nothing. */
function unpackedSize(packed: Buffer): number {
  try {
    return inflateRawSync(packed, {
      maxOutputLength: MAX_STREAM_BYTES,
      chunkSize: CHUNK_BYTES,
      finishFlush: constants.Z_SYNC_FLUSH
    }).length
  } catch (error) {
    return codeOf(error) === 'ERR_BUFFER_TOO_LARGE' ? MAX_STREAM_BYTES + 1 : 0
  }
}
