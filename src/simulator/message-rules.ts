import { asJsonObject, type JsonObject } from '../kiro/json-object.ts'
import { UpstreamLimits } from '../kiro/limits.ts'
import { findModel } from './models.ts'
import { firstRefusal, improper, invalidBody, type Refusal } from './refusal.ts'
import type { RequestView, Turn } from './request-view.ts'

const {
  messageChars,
  resultChars,
  images: maxImages,
  imageBytes,
  cachePoints: maxCachePoints
} = UpstreamLimits
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
    return invalidBody('turn-text', 'the current message is blank')
  }
  const index = view.history.findIndex((turn) => turn.content === '')
  if (index !== -1) {
    return improper('turn-text', `history[${index}] has empty content, a space is the least`)
  }
  const isLong = [...view.history, current].some(
    (turn) => turn.role === 'user' && turn.content.length > messageChars
  )
  if (!isLong) return null
  return improper('turn-length', `a user message is longer than ${messageChars} characters`)
}

/** Origins and cache points of every message (§4.2, §9.7). */
export function checkMessages(view: RequestView): Refusal | null {
  let cachePoints = 0
  for (const { message } of [...view.history, view.current]) {
    const { origin, cachePoint } = message
    if (origin !== undefined && !ORIGINS.includes(origin)) {
      return improper('origin', 'unknown origin')
    }
    if (cachePoint === undefined) continue
    if (asJsonObject(cachePoint)?.['type'] !== 'default') {
      return improper('cache-point', 'unknown cachePoint type')
    }
    cachePoints++
  }
  if (cachePoints <= maxCachePoints) return null
  return improper('cache-point', `more than ${maxCachePoints} cachePoints`)
}

/** Images of §4.6. The model, by its plain id, must take them. */
export function checkImages(view: RequestView, modelId: string): Refusal | null {
  const turns = [...view.history, view.current]
  if (turns.some((turn) => turn.role === 'user' && 'images' in turn.context)) {
    return improper('image-place', 'images belong to the message, not to its context')
  }
  if (turns.some((turn) => turn.role === 'assistant' && 'images' in turn.message)) {
    return improper('image-place', 'images belong to user messages')
  }
  const images = turns.flatMap(imagesOf)
  if (images.length === 0) return null
  if (images.length > maxImages) return improper('image-count', `more than ${maxImages} images`)
  if (findModel(modelId)?.supportedInputTypes.includes('IMAGE') === false) {
    const message = 'The selected model does not support images.'
    return invalidBody('image-support', 'the model takes no images', message)
  }
  return firstRefusal(images, checkImage)
}

function imagesOf(turn: Turn): readonly unknown[] {
  return turn.role === 'user' ? turn.images : []
}

function checkImage(value: unknown): Refusal | null {
  const image = asJsonObject(value)
  const bytes = asJsonObject(image?.['source'])?.['bytes']
  if (!IMAGE_FORMATS.includes(image?.['format'])) {
    return improper('image-format', 'unsupported image format')
  }
  if (typeof bytes !== 'string' || !BASE64.test(bytes)) {
    return improper('image-bytes', 'image bytes must be plain base64')
  }
  const decodedBytes = Math.floor((bytes.length * 3) / 4)
  return decodedBytes > imageBytes ? improper('image-size', 'an image is larger than 10 MiB') : null
}

/** The members of one tool result (§4.5); whom it answers is checked with the history. */
export function checkToolResult(result: JsonObject): Refusal | null {
  const { content, status } = result
  if (status !== undefined && status !== 'success' && status !== 'error') {
    return improper('result-shape', 'the status of a tool result is success or error')
  }
  if (!Array.isArray(content) || content.length === 0) {
    return improper('result-shape', 'a tool result needs content')
  }
  return firstRefusal(content, checkResultPart)
}

function checkResultPart(value: unknown): Refusal | null {
  const part = asJsonObject(value)
  const keys = Object.keys(part ?? {})
  if (part !== null && keys.length === 1 && keys[0] === 'json') return null
  const text = keys.length === 1 ? part?.['text'] : undefined
  if (typeof text !== 'string') return improper('result-shape', 'a result part is text or json')
  if (text === '') return improper('result-shape', 'the text of a tool result is empty')
  if (text.length <= resultChars) return null
  return improper('result-length', `a tool result is longer than ${resultChars} characters`)
}
