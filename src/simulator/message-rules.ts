import { asJsonObject, type JsonObject } from '../kiro/json-object.ts'
import { findModel } from './models.ts'
import { firstRefusal, improper, invalidBody, type Refusal } from './refusal.ts'
import type { RequestView, Turn } from './request-view.ts'

const MAX_USER_CHARS = 600_000
const MAX_RESULT_CHARS = 800_000
const MAX_IMAGES = 10
const MAX_IMAGE_BYTES = 10 * 1024 * 1024
const MAX_CACHE_POINTS = 4
const IMAGE_FORMATS: readonly unknown[] = ['png', 'jpeg', 'gif', 'webp']
const ORIGINS: readonly unknown[] = (
  'AI_EDITOR CLI KIRO_CLI IDE CHATBOT CONSOLE DOCUMENTATION GITLAB INLINE_CHAT MARKETING MD MD_CE ' +
  'MD_IDE MOBILE OPENSEARCH_DASHBOARD Q_DEV_BEXT SAGE_MAKER SERVICE_INTERNAL SM_AI_STUDIO_IDE ' +
  'UNIFIED_SEARCH UNKNOWN'
).split(' ')
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** Blank texts (kiro-protocol §4.9): forbidden in the current message, empty ones everywhere. */
export function checkContent(view: RequestView): Refusal | null {
  const { current } = view
  if (current.content.trim() === '' && current.toolResults.length === 0) {
    return invalidBody('the current message is blank')
  }
  const index = view.history.findIndex((turn) => turn.content === '')
  if (index !== -1) return improper(`history[${index}] has empty content, a space is the least`)
  const isLong = [...view.history, current].some(
    (turn) => turn.role === 'user' && turn.content.length > MAX_USER_CHARS
  )
  return isLong ? improper(`a user message is longer than ${MAX_USER_CHARS} characters`) : null
}

/** Origins and cache points of every message (§4.2, §9.7). */
export function checkMessages(view: RequestView): Refusal | null {
  let cachePoints = 0
  for (const { message } of [...view.history, view.current]) {
    const { origin, cachePoint } = message
    if (origin !== undefined && !ORIGINS.includes(origin)) return improper('unknown origin')
    if (cachePoint === undefined) continue
    if (asJsonObject(cachePoint)?.['type'] !== 'default') return improper('unknown cachePoint type')
    cachePoints++
  }
  return cachePoints > MAX_CACHE_POINTS
    ? improper(`more than ${MAX_CACHE_POINTS} cachePoints`)
    : null
}

/** Images of §4.6. The model, by its plain id, must take them. */
export function checkImages(view: RequestView, modelId: string): Refusal | null {
  const turns = [...view.history, view.current]
  if (turns.some((turn) => turn.role === 'user' && 'images' in turn.context)) {
    return improper('images belong to the message, not to its context')
  }
  const images = turns.flatMap(imagesOf)
  if (images.length === 0) return null
  if (images.length > MAX_IMAGES) return improper(`more than ${MAX_IMAGES} images`)
  if (findModel(modelId)?.supportedInputTypes.includes('IMAGE') === false) {
    return invalidBody('the model takes no images', 'The selected model does not support images.')
  }
  return firstRefusal(images, checkImage)
}

function imagesOf(turn: Turn): readonly unknown[] {
  return turn.role === 'user' ? turn.images : []
}

function checkImage(value: unknown): Refusal | null {
  const image = asJsonObject(value)
  const bytes = asJsonObject(image?.['source'])?.['bytes']
  if (!IMAGE_FORMATS.includes(image?.['format'])) return improper('unsupported image format')
  if (typeof bytes !== 'string' || !BASE64.test(bytes)) {
    return improper('image bytes must be plain base64')
  }
  const decodedBytes = Math.floor((bytes.length * 3) / 4)
  return decodedBytes > MAX_IMAGE_BYTES ? improper('an image is larger than 10 MiB') : null
}

/** The members of one tool result (§4.5); whom it answers is checked with the history. */
export function checkToolResult(result: JsonObject): Refusal | null {
  const { content, status } = result
  if (status !== undefined && status !== 'success' && status !== 'error') {
    return improper('the status of a tool result is success or error')
  }
  if (!Array.isArray(content) || content.length === 0) {
    return improper('a tool result needs content')
  }
  return firstRefusal(content, checkResultPart)
}

function checkResultPart(value: unknown): Refusal | null {
  const part = asJsonObject(value)
  const keys = Object.keys(part ?? {})
  if (part === null || keys.length !== 1) return improper('a result part is text or json')
  if (keys[0] === 'json') return null
  const { text } = part
  if (typeof text !== 'string') return improper('a result part is text or json')
  if (text === '') return improper('the text of a tool result is empty')
  return text.length > MAX_RESULT_CHARS
    ? improper(`a tool result is longer than ${MAX_RESULT_CHARS} characters`)
    : null
}
