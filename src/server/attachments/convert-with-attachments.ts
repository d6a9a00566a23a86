import type { Config } from '../../config/settings.ts'
import type { FetchedContent } from '../../dialects/attachments.ts'
import { PDF_TOO_COSTLY } from '../../dialects/pdf-text.ts'
import { GatewayError } from '../../shared/errors.ts'
import { AttachmentsNeeded, RoomNeeded } from '../../transform/what-is-needed.ts'
import type {
  GotAttachments,
  PdfText,
  TransformJob,
  TransformSuccess
} from '../../transform/transform-job.ts'
import type { JobOwner, TransformPool } from '../../transform/transform-pool.ts'
import type { BodyRoom } from '../request-body.ts'
import type { FetchTerms, UrlFetcher } from './url-fetcher.ts'

/** The part of a `DataPlane` that gets attachments and converts. */
export interface AttachmentPlane {
  readonly transforms: Pick<TransformPool, 'run' | 'readPdf'>
  readonly fetcher: Pick<UrlFetcher, 'fetch'>
  readonly config: () => Pick<Config, 'fetch'>
}

/** Attachments of one request that are fetched; more is no conversation any more. */
const MAX_URLS = 20

/**
 * Converts a body, and first gets what it names by URL or carries as a PDF.
 *
 * @throws {GatewayError} GW_MEMORY_FULL when there is no room for what was fetched, and all of `TransformPool.run()`
 */
export async function convertWithAttachments(
  plane: AttachmentPlane,
  job: TransformJob,
  room: BodyRoom,
  owner: JobOwner
): Promise<TransformSuccess> {
  try {
    return await runInRoom(plane, job, room, owner)
  } catch (cause) {
    if (!(cause instanceof AttachmentsNeeded)) throw cause
    const { body, needs } = cause
    const admit = admitInto(room, body.byteLength)
    const { key, signal } = owner
    const fetched = await fetchAll(plane, needs.urls, { key, signal, admit })
    const attachments = await readPdfs(plane, { fetched, pdfs: needs.pdfs }, { owner, admit })
    return runInRoom(plane, { ...job, body, attachments }, room, owner)
  }
}

/** Converts, and once more where the payload becomes so large that memory has to be set aside for it before it is there. */
async function runInRoom(
  { transforms }: AttachmentPlane,
  job: TransformJob,
  room: BodyRoom,
  owner: JobOwner
): Promise<TransformSuccess> {
  const { options } = job
  try {
    return await transforms.run({ ...job, options: { ...options, payloadRoomBytes: 0 } }, owner)
  } catch (cause) {
    if (!(cause instanceof RoomNeeded)) throw cause
    const { body, payloadBytes, bodyBytes } = cause
    room.growForPayload(payloadBytes, bodyBytes)
    return transforms.run(
      { ...job, body, options: { ...options, payloadRoomBytes: payloadBytes } },
      owner
    )
  }
}

/** The second PDF of a request that takes too much ends the request. */
const MAX_COSTLY_PDFS = 2

interface PdfTerms {
  readonly owner: JobOwner
  /** Takes the bytes of what was read. */
  readonly admit: FetchTerms['admit']
}

interface UnreadAttachments {
  readonly fetched: Readonly<Record<string, FetchedContent>>
  readonly pdfs: readonly Uint8Array[]
}

/**
 * Reads the PDFs among what was got, one after the other: each takes its turn anew.
 *
 * @throws {GatewayError} GW_BODY_INVALID for several that take too much
 */
async function readPdfs(
  { transforms }: AttachmentPlane,
  { fetched, pdfs }: UnreadAttachments,
  { owner, admit }: PdfTerms
): Promise<GotAttachments> {
  let costly = 0
  const read = async (bytes: Uint8Array): Promise<PdfText> => {
    const text = await transforms.readPdf(bytes, owner)
    if (text.kind === 'utf8') admit(text.bytes.byteLength)
    else if (text.reason === PDF_TOO_COSTLY && ++costly >= MAX_COSTLY_PDFS) throw tooCostly()
    return text
  }
  const texts: PdfText[] = []
  for (const bytes of pdfs) texts.push(await read(bytes))
  const contents: Record<string, GotAttachments['fetched'][string]> = {}
  for (const [url, content] of Object.entries(fetched)) {
    contents[url] = content.kind === 'pdf' ? await read(ofBase64(content.base64)) : content
  }
  return { fetched: contents, pdfs: texts }
}

function tooCostly(): GatewayError {
  const message = 'The PDFs of this request take too much to read.'
  return new GatewayError('GW_BODY_INVALID', undefined, { message })
}

function ofBase64(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}

/** Memory is set aside in steps of this size while content arrives. */
const STEP_BYTES = 256 * 1024
/** Content is held as base64. */
const BASE64_FACTOR = 4 / 3

/** Makes room beside a body for what is fetched, before it is kept: nobody knows how much it will be. */
function admitInto(room: BodyRoom, bodyBytes: number): FetchTerms['admit'] {
  let fetchedBytes = 0
  let admittedBytes = 0
  return (bytes) => {
    fetchedBytes += bytes
    if (fetchedBytes <= admittedBytes) return
    admittedBytes = Math.ceil(fetchedBytes / STEP_BYTES) * STEP_BYTES
    room.grow(bodyBytes + Math.ceil(admittedBytes * BASE64_FACTOR))
  }
}

/** All of them, or none: what one of them rejects with ends the others. */
async function fetchAll(
  plane: AttachmentPlane,
  urls: readonly string[],
  { key, signal, admit }: FetchTerms
): Promise<Readonly<Record<string, FetchedContent>>> {
  if (urls.length > MAX_URLS) {
    throw new GatewayError('GW_BODY_INVALID', undefined, {
      message: `At most ${MAX_URLS} images or documents can be given by URL; there are ${urls.length}.`
    })
  }
  const { isEnabled } = plane.config().fetch
  const failed = new AbortController()
  const terms = { key, signal: AbortSignal.any([signal, failed.signal]), admit }
  try {
    const contents = await Promise.all(
      urls.map(async (url): Promise<readonly [string, FetchedContent]> => {
        if (isEnabled) return [url, await plane.fetcher.fetch(url, terms)]
        return [url, { kind: 'failed', reason: 'URLs are not fetched here (FETCH_URLS=false)' }]
      })
    )
    return Object.fromEntries(contents)
  } catch (cause) {
    failed.abort(cause)
    throw cause
  }
}
