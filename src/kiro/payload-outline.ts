import { isJsonObject } from './json-object.ts'

/** Members whose text says how a request is built, and nothing of what anybody wrote. */
const STRUCTURE = new Set([
  'conversationId',
  'chatTriggerType',
  'modelId',
  'origin',
  'format',
  'toolUseId',
  'name',
  'status'
])

/** A longer one would be somebody's text under the name of a structure. */
const MAX_STRUCTURE_CHARS = 128
const MAX_KEY_CHARS = 64

/**
 * How an upstream request is built, without a word of what is in it: every text is replaced by its length. Ids, names
 * of tools and models and the keywords of schemas stay, since the upstream refuses requests for those.
 */
export function outlineOf(value: unknown): unknown {
  return outline(value, { key: '', area: 'payload' })
}

interface Place {
  readonly key: string
  /** In a schema texts are keywords, but for the descriptions; in the arguments of a call none is, whatever its name. */
  readonly area: 'payload' | 'schema' | 'words'
}

/** Members of schemas that hold words of whoever wrote them, or values. */
const SCHEMA_TEXTS = new Set(['description', 'title', 'default', 'example', 'examples', '$comment'])

function outline(value: unknown, place: Place): unknown {
  if (typeof value === 'string') return outlineText(value, place)
  if (typeof value === 'number' && place.area === 'words') return '‹number›'
  if (Array.isArray(value)) return value.map((item) => outline(item, place))
  if (!isJsonObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, member], index) => [
      isStructural(key, place) ? key : `key ${index + 1}: ${lengthOf(key)}`,
      outline(member, { key, area: areaOf(key, place) })
    ])
  )
}

/** Whether a key is a name, as of a parameter. Arguments may have others: what somebody wrote. */
function isStructural(key: string, { area }: Place): boolean {
  return key.length <= MAX_KEY_CHARS && (area !== 'words' || NAME.test(key))
}

const NAME = /^[a-z_$][\w$-]*$/i

function areaOf(key: string, { area }: Place): Place['area'] {
  if (area === 'payload' && key === 'input') return 'words'
  if (area === 'payload' && key === 'inputSchema') return 'schema'
  return area === 'schema' && SCHEMA_TEXTS.has(key) ? 'words' : area
}

function outlineText(text: string, { key, area }: Place): string {
  const isStructure = area === 'schema' || (area === 'payload' && STRUCTURE.has(key))
  const isKept = isStructure && text.length <= MAX_STRUCTURE_CHARS
  return isKept || text === '' ? text : lengthOf(text)
}

function lengthOf(text: string): string {
  const blank = text.trim() === '' ? ', all white space' : ''
  return `‹${text.length} characters${blank}›`
}
