import type { Repairs } from '../../kiro/rules/repairs.ts'
import type { ImageFormat, UpstreamImage } from '../../kiro/wire/payload.ts'
import { invalidPart } from '../plan/json-body.ts'
import { misplacedAttachment } from './attachments.ts'

const FORMATS: Readonly<Record<string, ImageFormat>> = {
  png: 'png',
  jpeg: 'jpeg',
  jpg: 'jpeg',
  gif: 'gif',
  webp: 'webp'
}
const SNIFFED_CHARS = 16

const DATA_URL = /^data:([^;,]*)((?:;[^;,]*)*),/i
const WHITE_SPACE = /\s/
/** Uses no repetition: it would remember each character, and an image is as long as a body. */
const NOT_BASE64 = /[^A-Za-z0-9+/]/
const NOT_BASE64_OR_SPACE = /[^A-Za-z0-9+/=\s]/
const PADDING = /^={1,2}$/
const BASE64_GROUP = 4

interface ImageContext {
  readonly path: string
  readonly repairs: Repairs
}

/** @throws {GatewayError} GW_BODY_INVALID for other URLs and content */
export function imageOfUrl(url: string, context: ImageContext): UpstreamImage {
  const head = DATA_URL.exec(url.slice(0, 256))
  if (head !== null && (head[2] ?? '').toLowerCase().includes(';base64')) {
    return imageOfBase64(head[1] ?? '', url.slice(head[0].length), context)
  }
  if (/^https?:\/\//i.test(url)) throw misplacedAttachment(context.path)
  throw invalidPart(
    context.path,
    'must be a data URL such as "data:image/png;base64,…"',
    'image-bytes'
  )
}

/**
 * Takes the type from the first bytes, whatever the media type says: the upstream refuses a whole
 * conversation for one unreadable image.
 * @throws {GatewayError} GW_BODY_INVALID for anything but PNG, JPEG, GIF and WebP
 */
export function imageOfBase64(
  mediaType: string,
  text: string,
  { path, repairs }: ImageContext
): UpstreamImage {
  // Some clients put a whole data URL here.
  const bare = text.startsWith('data:') ? text.slice(text.indexOf(',') + 1) : text
  const bytes = toCanonical(bare)
  if (bytes === '') throw invalidPart(path, 'the image is empty', 'image-bytes')
  if (!isBase64(bytes)) throw invalidPart(path, 'the image is not base64', 'image-bytes')
  const subtype = mediaType
    .trim()
    .toLowerCase()
    .replace(/^image\//, '')
  const claimed = Object.hasOwn(FORMATS, subtype) ? FORMATS[subtype] : undefined
  const format = sniffFormat(Buffer.from(bytes.slice(0, SNIFFED_CHARS), 'base64'))
  if (format === undefined) {
    const problem =
      claimed === undefined
        ? `only PNG, JPEG, GIF and WebP images are supported, not "${mediaType.slice(0, 60)}"`
        : 'the data is not a PNG, JPEG, GIF or WebP image; convert the image, or leave it out'
    throw invalidPart(path, problem, 'image-format')
  }
  if (claimed !== undefined && claimed !== format) repairs.note('image-type-corrected', path)
  return { format, source: { bytes } }
}

export function sniffFormat(head: Buffer): ImageFormat | undefined {
  const text = head.toString('latin1')
  if (text.startsWith('\x89PNG')) return 'png'
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (text.startsWith('GIF8')) return 'gif'
  return text.startsWith('RIFF') && text.startsWith('WEBP', 8) ? 'webp' : undefined
}

export function toCanonical(text: string): string {
  const isCanonical = text.length % BASE64_GROUP === 0 && !WHITE_SPACE.test(text)
  if (isCanonical || NOT_BASE64_OR_SPACE.test(text)) return text
  return Buffer.from(text, 'base64').toString('base64')
}

export function isBase64(text: string): boolean {
  const end = text.search(NOT_BASE64)
  return end === -1 || (end > 0 && text.length - end <= 2 && PADDING.test(text.slice(end)))
}
