import { AttachmentNeeded } from './attachments.ts'
import type { ImageFormat, UpstreamImage } from '../kiro/payload.ts'
import type { Repairs } from '../kiro/repairs.ts'
import { invalidPart } from './json-body.ts'

const FORMATS: Readonly<Record<string, ImageFormat>> = {
  png: 'png',
  jpeg: 'jpeg',
  jpg: 'jpeg',
  gif: 'gif',
  webp: 'webp'
}
/** Base64 characters that hold the 12 bytes by which the four types are known. */
const SNIFFED_CHARS = 16

const DATA_URL = /^data:([^;,]*)((?:;[^;,]*)*),/i
const WHITE_SPACE = /\s/
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** What image readers need besides the image. */
export interface ImageContext {
  readonly path: string
  readonly repairs: Repairs
}

/**
 * The image of a `data:` URL.
 *
 * @throws {AttachmentNeeded} for what is on the web
 * @throws {GatewayError} GW_BODY_INVALID for other URLs and for what is no image
 */
export function imageOfUrl(url: string, context: ImageContext): UpstreamImage {
  const head = DATA_URL.exec(url.slice(0, 256))
  if (head !== null && (head[2] ?? '').toLowerCase().includes(';base64')) {
    return imageOfBase64(head[1] ?? '', url.slice(head[0].length), context)
  }
  if (/^https?:\/\//i.test(url)) {
    throw new AttachmentNeeded(context.path)
  }
  throw invalidPart(
    context.path,
    'must be a data URL such as "data:image/png;base64,…"',
    'image-bytes'
  )
}

/**
 * The image of base64 text. Its bytes say what it is; the media type is believed where they say nothing.
 *
 * @throws {GatewayError} GW_BODY_INVALID when neither names a PNG, JPEG, GIF or WebP image.
 */
export function imageOfBase64(
  mediaType: string,
  text: string,
  { path, repairs }: ImageContext
): UpstreamImage {
  // Some clients put a whole data URL where the bytes belong.
  const bare = text.startsWith('data:') ? text.slice(text.indexOf(',') + 1) : text
  const bytes = WHITE_SPACE.test(bare) ? bare.replace(/\s+/g, '') : bare
  if (bytes === '') throw invalidPart(path, 'the image is empty', 'image-bytes')
  if (!BASE64.test(bytes)) throw invalidPart(path, 'the image is not base64', 'image-bytes')
  const subtype = mediaType
    .trim()
    .toLowerCase()
    .replace(/^image\//, '')
  const claimed = Object.hasOwn(FORMATS, subtype) ? FORMATS[subtype] : undefined
  const sniffed = sniffFormat(Buffer.from(bytes.slice(0, SNIFFED_CHARS), 'base64'))
  const format = sniffed ?? claimed
  if (format === undefined) {
    throw invalidPart(
      path,
      `only PNG, JPEG, GIF and WebP images are supported, not "${mediaType.slice(0, 60)}"`,
      'image-format'
    )
  }
  if (claimed !== undefined && claimed !== format) repairs.note('image-type-corrected', path)
  return { format, source: { bytes } }
}

/** The type of an image by its first 12 bytes. */
export function sniffFormat(head: Buffer): ImageFormat | undefined {
  const text = head.toString('latin1')
  if (text.startsWith('\x89PNG')) return 'png'
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (text.startsWith('GIF8')) return 'gif'
  return text.startsWith('RIFF') && text.startsWith('WEBP', 8) ? 'webp' : undefined
}
