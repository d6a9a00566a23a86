import type { FetchedContent } from '../../dialects/attachments.ts'
import { GatewayError } from '../../shared/errors.ts'
import { AttachmentsNeeded } from '../../transform/attachments-needed.ts'
import type { TransformJob, TransformSuccess } from '../../transform/transform-job.ts'
import type { DataPlane } from '../data-plane.ts'
import type { BodyRoom } from '../request-body.ts'

/** Attachments of one request that are fetched; more is no conversation any more. */
const MAX_URLS = 20

/**
 * Converts a body, and first gets what it names by URL or carries as a PDF.
 *
 * @throws {GatewayError} GW_MEMORY_FULL when there is no room for what was fetched, and all of `TransformPool.run()`
 */
export async function convertWithAttachments(
  plane: DataPlane,
  job: TransformJob,
  room: BodyRoom,
  signal: AbortSignal
): Promise<TransformSuccess> {
  try {
    return await plane.transforms.run(job, signal)
  } catch (cause) {
    if (!(cause instanceof AttachmentsNeeded)) throw cause
    const { body, needs } = cause
    const attachments = await fetchAll(plane, needs.urls, signal)
    const fetchedChars = Object.values(attachments).reduce((sum, one) => sum + charsOf(one), 0)
    room.grow(body.byteLength + fetchedChars)
    return plane.transforms.run({ ...job, body, attachments }, signal)
  }
}

async function fetchAll(
  plane: DataPlane,
  urls: readonly string[],
  signal: AbortSignal
): Promise<Readonly<Record<string, FetchedContent>>> {
  if (urls.length > MAX_URLS) {
    throw new GatewayError('GW_BODY_INVALID', undefined, {
      message: `At most ${MAX_URLS} images or documents can be given by URL; there are ${urls.length}.`
    })
  }
  const { isEnabled } = plane.config().fetch
  const contents = await Promise.all(
    urls.map(async (url): Promise<readonly [string, FetchedContent]> => {
      if (isEnabled) return [url, await plane.fetcher.fetch(url, signal)]
      return [url, { kind: 'failed', reason: 'URLs are not fetched here (FETCH_URLS=false)' }]
    })
  )
  return Object.fromEntries(contents)
}

function charsOf(content: FetchedContent): number {
  if (content.kind === 'failed') return 0
  return content.kind === 'text' ? content.text.length : content.base64.length
}
