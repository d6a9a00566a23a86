import { isOfFormat } from '../../src/kiro/conversation/documents.ts'
import { UpstreamLimits } from '../../src/kiro/rules/rules.ts'
import { asJsonObject, isJsonObject, type JsonObject } from '../../src/shared/json.ts'
import { simulatedModel } from '../../src/simulator/models.ts'
import type { ConversationTurn, RequestView } from '../../src/simulator/request-view.ts'
import { firstRefusal, improper, invalidBody, type StrictRefusal } from './refusals.ts'
import { isToolName, toolNamesOf } from './tool-rules.ts'

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

/** Blank texts (kiro-protocol §4.9): refused in the current message; empty ones everywhere. */
export function checkContent(view: RequestView): StrictRefusal | null {
  const { current } = view
  if (current.content.trim() === '' && current.toolResults.length === 0) {
    return invalidBody('turn-text', 'the current message is blank')
  }
  const index = view.history.findIndex(
    (turn) => turn.content === '' && !(view.form === 'target' && hasTools(turn))
  )
  if (index !== -1) {
    return improper('turn-text', `history[${index}] has empty content, a space is the least`)
  }
  const isLong = [...view.history, current].some(
    (turn) => turn.role === 'user' && turn.content.length > messageChars
  )
  if (!isLong) return null
  return improper('turn-length', `a user message is longer than ${messageChars} characters`)
}

/** Calls or results make text optional in the target form. */
function hasTools(turn: ConversationTurn): boolean {
  return (turn.role === 'user' ? turn.toolResults : turn.toolUses).length > 0
}

/** Origins and cache points (§4.2, §9.7). */
export function checkMessages(view: RequestView): StrictRefusal | null {
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

/** Images (§4.6). The model, by its plain id, must take them. */
export function checkImages(view: RequestView, modelId: string): StrictRefusal | null {
  const turns = [...view.history, view.current]
  if (turns.some((turn) => turn.role === 'user' && 'images' in turn.context)) {
    return improper('image-place', 'images belong to the message, not to its context')
  }
  if (turns.some((turn) => turn.role === 'assistant' && 'images' in turn.message)) {
    return improper('image-place', 'images belong to user messages')
  }
  const images = turns.flatMap((turn) => (turn.role === 'user' ? turn.images : []))
  if (images.length === 0) return null
  if (images.length > maxImages) return improper('image-count', `more than ${maxImages} images`)
  if (simulatedModel(modelId)?.supportedInputTypes.includes('IMAGE') === false) {
    const message = 'The selected model does not support images.'
    return invalidBody('image-support', 'the model takes no images', message)
  }
  return firstRefusal(images, checkImage)
}

function checkImage(value: unknown): StrictRefusal | null {
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

const DOCUMENT_FORMATS = ['pdf', 'csv', 'doc', 'docx', 'xls', 'xlsx', 'html', 'txt', 'md'] as const
const DOCUMENT_NAME = /^[A-Za-z0-9\-_()[\]](?:[A-Za-z0-9\-_()[\]]| (?! )){0,199}$/

/** Documents (§4.15), checked as the vendor's client does. */
export function checkDocuments(view: RequestView): StrictRefusal | null {
  const turns = [...view.history, view.current]
  const isMisplaced = turns.some((turn) =>
    turn.role === 'user' ? 'documents' in turn.context : 'documents' in turn.message
  )
  if (isMisplaced) return improper('document-place', 'documents belong to user messages')
  const documents = turns.flatMap((turn) => (turn.role === 'user' ? turn.documents : []))
  if (documents.length > UpstreamLimits.documents) {
    return improper('document-count', `more than ${UpstreamLimits.documents} documents`)
  }
  return firstRefusal(documents, checkDocument)
}

function checkDocument(value: unknown): StrictRefusal | null {
  const document = asJsonObject(value)
  const { name, format } = document ?? {}
  const bytes = asJsonObject(document?.['source'])?.['bytes']
  if (typeof name !== 'string' || !DOCUMENT_NAME.test(name) || name.endsWith(' ')) {
    return improper('document-name', 'a document has no name that is allowed')
  }
  if (typeof bytes !== 'string' || !BASE64.test(bytes)) {
    return improper('document-bytes', 'the bytes of a document must be plain base64')
  }
  const known = DOCUMENT_FORMATS.find((one) => one === format)
  if (known === undefined || !isOfFormat(Buffer.from(bytes, 'base64'), known)) {
    return improper('document-format', 'a document is not what its format says')
  }
  return null
}

/** Tool results (§4.5); whom they answer is checked with the history. */
function checkToolResult(result: JsonObject): StrictRefusal | null {
  const { content, status } = result
  if (status !== undefined && status !== 'success' && status !== 'error') {
    return improper('result-shape', 'the status of a tool result is success or error')
  }
  if (!Array.isArray(content) || content.length === 0) {
    return improper('result-shape', 'a tool result needs content')
  }
  return firstRefusal(content, checkResultPart)
}

function checkResultPart(value: unknown): StrictRefusal | null {
  const part = asJsonObject(value)
  const keys = Object.keys(part ?? {})
  if (part !== null && keys.length === 1 && keys[0] === 'json') return null
  const text = keys.length === 1 ? part?.['text'] : undefined
  if (typeof text !== 'string') return improper('result-shape', 'a result part is text or json')
  if (text === '') return improper('result-shape', 'the text of a tool result is empty')
  if (text.length <= resultChars) return null
  return improper('result-length', `a tool result is longer than ${resultChars} characters`)
}

const FORMAT = 'Invalid tool use format.'
const TOOL_USE_ID = /^[A-Za-z0-9_-]+$/

/** Order of turns: H1-H3 and H9 (kiro-protocol §4.7). */
export function checkOrder(view: RequestView): StrictRefusal | null {
  const { history } = view
  if (history.length === 0) return null
  const { historyEntries } = UpstreamLimits
  if (history.length > historyEntries) {
    return improper('history-length', `H9: more than ${historyEntries} entries`)
  }
  if (history[0]?.role !== 'user') {
    return improper('first-turn', 'H1: history begins with an assistant message')
  }
  const repeated = history.findIndex((turn, i) => i > 0 && turn.role === history[i - 1]?.role)
  if (repeated !== -1) {
    return improper('turn-order', `H2: history[${repeated}] repeats the role before it`)
  }
  if (history.at(-1)?.role === 'assistant') return null
  return improper('last-turn', 'H3: history ends with a user message')
}

/** Tool uses and results (§4.5), including H8. */
export function checkToolTurns(view: RequestView): StrictRefusal | null {
  return firstRefusal([...view.history, view.current], (turn) =>
    turn.role === 'user'
      ? (checkIds(turn.toolResults) ?? firstRefusal(objectsOf(turn.toolResults), checkToolResult))
      : (checkIds(turn.toolUses) ?? firstRefusal(objectsOf(turn.toolUses), checkToolUse))
  )
}

/** H4 and H5: each result answers a call right before it, and each call is answered. */
export function checkPairs(view: RequestView): StrictRefusal | null {
  const turns: readonly ConversationTurn[] = [...view.history, view.current]
  return firstRefusal(turns, (turn, index) => {
    if (turn.role === 'assistant') return null
    const before = turns[index - 1]
    const asked = idsOf(before?.role === 'assistant' ? before.toolUses : [])
    const answered = idsOf(turn.toolResults)
    const orphan = answered.find((id) => !asked.includes(id))
    if (orphan !== undefined)
      return improper('result-call', `H4: no call asks for the tool result ${orphan}`)
    const open = asked.find((id) => !answered.includes(id))
    if (open === undefined) return null
    return improper('call-result', `H5: the tool use ${open} has no result`)
  })
}

/** H6 and H7: tool turns need tools, and used names must be among them. */
export function checkToolsPresent(view: RequestView): StrictRefusal | null {
  const turns: readonly ConversationTurn[] = [...view.history, view.current]
  const hasToolTurns = turns.some((turn) =>
    turn.role === 'user' ? turn.toolResults.length > 0 : turn.toolUses.length > 0
  )
  if (hasToolTurns && view.current.tools.length === 0) {
    return improper(
      'tools-offered',
      'H6: there are tool turns, but the current message has no tools'
    )
  }
  const known = new Set(toolNamesOf(view).map((name) => name.toLowerCase()))
  const used = turns.flatMap((turn) => (turn.role === 'assistant' ? objectsOf(turn.toolUses) : []))
  const foreign = used.find((use) => !known.has(String(use['name']).toLowerCase()))
  if (foreign === undefined) return null
  const name = String(foreign['name'])
  return improper('tool-declared', `H7: the tool ${name} of the history is not among the tools`)
}

/** Only the current message may offer tools (§4.4). */
export function checkHistoryTools(view: RequestView): StrictRefusal | null {
  const index = view.history.findIndex((turn) => turn.role === 'user' && turn.tools.length > 0)
  return index === -1 ? null : improper('tool-place', `history[${index}] carries tools`)
}

function checkIds(list: readonly unknown[]): StrictRefusal | null {
  const ids = new Set<unknown>()
  return firstRefusal(list, (value) => {
    const id = asJsonObject(value)?.['toolUseId']
    if (typeof id !== 'string' || id.length > UpstreamLimits.toolIdChars || !TOOL_USE_ID.test(id)) {
      return invalidBody('tool-id', 'a toolUseId is 1 to 64 of A-Z a-z 0-9 _ -', FORMAT)
    }
    if (ids.has(id)) {
      const message = `Duplicate tool use id: ${id}`
      return improper('tool-id-unique', 'H8: an id appears twice', message, 'TOOL_DUPLICATE')
    }
    ids.add(id)
    return null
  })
}

function checkToolUse(use: JsonObject): StrictRefusal | null {
  if (!isToolName(use['name'])) {
    return invalidBody('tool-name', 'a call has a name that is not allowed', FORMAT)
  }
  if (asJsonObject(use['input']) !== null) return null
  return invalidBody('tool-input', 'the input of a tool use must be an object', FORMAT)
}

function idsOf(list: readonly unknown[]): string[] {
  return objectsOf(list).map((item) => String(item['toolUseId']))
}

function objectsOf(list: readonly unknown[]): JsonObject[] {
  return list.filter(isJsonObject)
}
