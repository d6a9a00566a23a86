import { getPriority, setPriority } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { resourceLimits } from 'node:worker_threads'
import { move, transferableSymbol, valueSymbol } from 'piscina'
import { type Conversion, convertBody } from '../src/dialects/dialect.ts'
import { type LintReport, lintRequest } from '../src/dialects/lint/lint-request.ts'
import { checkAnswer } from '../src/dialects/plan/json-answer.ts'
import type { AttachmentContent, AttachmentContents } from '../src/dialects/request/attachments.ts'
import { readPdfText } from '../src/dialects/request/pdf.ts'
import { outlineMember } from '../src/dialects/request/payload-bytes.ts'
import { readDocuments, rewritePayload } from '../src/dialects/request/rewrite-payload.ts'
import { GatewayError } from '../src/shared/errors.ts'
import { garbageCollector } from '../src/shared/garbage.ts'
import { ownsMemory } from '../src/shared/own-memory.ts'
import {
  type ConvertJob,
  type GotAttachments,
  type JobMark,
  type LintJob,
  type MarkedJob,
  markBegin,
  type PdfText,
  type ThreadResult
} from '../src/transform/transform-job.ts'

/** Event loops get nine tenths of a busy core, and the next turn. */
const NICENESS = 10
const MAX_NICENESS = 19

standBack()

/**
 * V8 would learn to allocate conversions in the old generation: some processes took a fifth more CPU for 400 KB. The flag is
 * set once all is loaded: with it, V8 takes no code that was compiled before, not even Node's own.
 */
setFlagsFromString('--no-allocation-site-pretenuring')
const collectGarbage = garbageCollector()

/**
 * Bodies of this size are followed by a young collection. Everything is dead by then; in the middle of the next one V8
 * would copy live objects, twice into the old generation. With 400 KB it takes a quarter less CPU.
 */
const CLEARED_BYTES = 256 * 1024
/** Data of this size lives through several young collections; only a full one frees it. */
const LARGE_BYTES = 2 * 1024 * 1024

let bytesSinceCleared = 0

/** Longest check of an answer. Sensible schemas take a few ms; others wait for the thread meanwhile. */
const CHECK_MS = 2000

/** Piscina's entry in a thread. A refusal is a result; other errors are bugs. Bytes with their own buffer are moved. */
export default async function transformRequest(job: MarkedJob): Promise<unknown> {
  const result = await run(job)
  clearUp(job.body.byteLength)
  const buffers = bytesOf(result).flatMap((bytes) => (ownsMemory(bytes) ? [bytes.buffer] : []))
  return buffers.length === 0
    ? result
    : move({ [transferableSymbol]: buffers, [valueSymbol]: result })
}

const HEAP_BYTES = (resourceLimits.maxOldGenerationSizeMb ?? Infinity) * 1024 * 1024

async function run(job: MarkedJob): Promise<ThreadResult> {
  if (job.type === 'pdf') return { type: 'pdf', text: await readPdf(job.body, job.mark) }
  markBegin(job.mark)
  try {
    switch (job.type) {
      case 'convert':
        return convert(job)
      case 'lint':
        return { type: 'report', report: explain(job) }
      case 'rewrite':
        return { type: 'rewritten', payload: rewritePayload(job.body, job.rewrite) }
      case 'documents':
        return { type: 'documents', documents: readDocuments(job.body) }
      case 'outline':
        return { type: 'outline', members: outlineMember(textOf(job.body)) }
      case 'check':
        return { type: 'check', check: checkAnswer(textOf(job.body), job.form, CHECK_MS) }
    }
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    return { type: 'refused', error: error.toData() }
  }
}

function clearUp(bodyBytes: number): void {
  bytesSinceCleared += bodyBytes
  if (bytesSinceCleared < CLEARED_BYTES) return
  bytesSinceCleared = 0
  collectGarbage({ type: bodyBytes < LARGE_BYTES ? 'minor' : 'major', execution: 'sync' })
}

function bytesOf(result: ThreadResult): readonly Uint8Array[] {
  switch (result.type) {
    case 'converted':
      return result.input === undefined ? [result.payload] : [result.payload, result.input]
    case 'attachments-needed':
      return [result.body, ...result.answers, ...result.needs.pdfs]
    case 'room-needed':
    case 'whole-needed':
      return [result.body, ...result.answers]
    case 'rewritten':
      return result.payload === null ? [] : [result.payload.bytes]
    case 'documents':
      return result.documents.map(({ bytes }) => bytes)
    case 'pdf':
      return result.text.kind === 'utf8' ? [result.text.bytes] : []
    case 'report':
    case 'check':
    case 'outline':
    case 'refused':
      return []
  }
}

function convert({ dialect, body, options, attachments }: ConvertJob): Conversion {
  const contents = attachments === undefined ? undefined : toContents(attachments)
  return convertBody(dialect, body, { ...options, heapBytes: HEAP_BYTES }, contents)
}

function toContents({ fetched, pdfs }: GotAttachments): AttachmentContents {
  const contents = Object.entries(fetched).map(([url, content]) => [url, toContent(content)])
  return { fetched: Object.fromEntries(contents), pdfs: pdfs.map(toContent) }
}

function toContent(content: AttachmentContent | PdfText): AttachmentContent {
  return content.kind === 'utf8' ? { kind: 'text', text: textOf(content.bytes) } : content
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

function explain({ body, lint }: LintJob): LintReport {
  return lintRequest(body, { ...lint, request: { ...lint.request, heapBytes: HEAP_BYTES } })
}

async function readPdf(body: Uint8Array, mark: JobMark): Promise<PdfText> {
  const content = await readPdfText(body, { onBegin: () => markBegin(mark) })
  if (content.kind === 'failed') return content
  return { kind: 'utf8', bytes: new TextEncoder().encode(content.text) }
}

/** Lowers the priority, so that streams do not wait for conversions. Only Linux can do this for a single thread. */
function standBack(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(Math.min(MAX_NICENESS, getPriority() + NICENESS))
  } catch {
    // A sandbox may forbid it; conversions work all the same.
  }
}
