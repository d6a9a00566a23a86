import {
  asJsonObject,
  type JsonObject,
  splitPointer,
  textMember,
  valueAt
} from '../../shared/json.ts'
import type { Part } from '../../dialects/lint/request-parts.ts'

/** A row for the table of rules in docs/rules.md, for what a probe has found. */
export interface FoundRule {
  readonly id: string
  /** Says what must hold. */
  readonly what: string
  readonly fix: string
}

/** Words a rule of which only one example is known: the example stands in it, and a person makes it general. */
export function ruleFor(parts: readonly Part[], body: JsonObject): FoundRule {
  const [first, ...more] = parts.map((part) => ruleOfPart(part, body))
  if (first === undefined) return REASONING
  if (more.length === 0) return first
  return {
    id: 'parts-apart',
    what: `These do not stand in one request: ${parts.map(({ pointer }) => pointer).join(', ')}.`,
    fix: 'Leave one of them out.'
  }
}

const REASONING: FoundRule = {
  id: 'reasoning-signature',
  what: 'Reasoning of earlier answers comes back as it was signed, after the same conversation.',
  fix: 'Nothing: the request is sent once more without it.'
}

/** Writes a rule as docs/rules.md has it. */
export function rowOf({ id, what, fix }: FoundRule): string {
  return `| \`${id}\` | ${cell(what)} | borderline | ${cell(fix)} |`
}

function cell(text: string): string {
  return text.replaceAll('|', String.raw`\|`)
}

const SCHEMAS = ['parameters', 'input_schema']
const LISTS = new Set(['properties', '$defs', 'definitions', 'patternProperties'])
const PICTURES = new Set(['image', 'image_url', 'input_image'])
const PAPERS = new Set(['document', 'file', 'input_file'])

function ruleOfPart({ pointer, range }: Part, body: JsonObject): FoundRule {
  const names = splitPointer(pointer)
  const [top = ''] = names
  const last = names.at(-1) ?? ''
  const isOfSchema = names.some((name) => SCHEMAS.includes(name)) && !SCHEMAS.includes(last)
  if (isOfSchema) return ruleOfSchema(names, last)
  if (top === 'tools' || top === 'functions') {
    if (last === 'description') return TOOL_DESCRIPTION
    return { id: 'tool-form', what: `No tool is like ${pointer}.`, fix: 'Leave the tool out.' }
  }
  const type = textMember(asJsonObject(valueAt(body, names)) ?? {}, 'type') ?? ''
  if (PICTURES.has(type)) return IMAGE
  if (PAPERS.has(type)) return DOCUMENT
  if (last === 'arguments' || (last === 'input' && names.length > 1) || names.includes('input', 2))
    return CALL
  if (range !== undefined) return TEXT
  if (names.length === 1 && !TURNS.has(top)) {
    return { id: `field-${slug(top)}`, what: `A request has no ${top}.`, fix: `Leave ${top} out.` }
  }
  return TURN
}

const TURNS = new Set(['messages', 'input', 'system', 'instructions'])

function ruleOfSchema(names: readonly string[], last: string): FoundRule {
  if (LISTS.has(names.at(-2) ?? '')) {
    return {
      id: 'tool-schema-property',
      what: `A tool schema has no property like ${last}.`,
      fix: 'Declare the property in another way.'
    }
  }
  const keyword = /^\d+$/.test(last) ? (names.at(-2) ?? last) : last
  return {
    id: `tool-schema-${slug(keyword)}`,
    what: `A tool schema has no ${keyword} like this.`,
    fix: `Leave ${keyword} out of the schema.`
  }
}

const MAX_SLUG_CHARS = 40

function slug(name: string): string {
  const words = name.replaceAll(/([a-z])([A-Z])/g, '$1-$2').toLowerCase()
  return words.replaceAll(/[^a-z0-9]+/g, '-').slice(0, MAX_SLUG_CHARS)
}

const TOOL_DESCRIPTION = {
  id: 'tool-description-text',
  what: 'A tool description does not hold a text like this.',
  fix: 'Describe the tool in other words.'
}
const IMAGE = {
  id: 'image-content',
  what: 'An image is not like this one.',
  fix: 'Convert the image, or leave it out.'
}
const DOCUMENT = {
  id: 'document-content',
  what: 'A document is not like this one.',
  fix: 'Send its text, or leave it out.'
}
const CALL = {
  id: 'tool-input-content',
  what: 'The arguments of a call are not like these.',
  fix: 'Send other arguments, or the call as text.'
}
const TEXT = {
  id: 'text-content',
  what: 'Text does not hold what stands here.',
  fix: 'Leave these words out.'
}
const TURN = {
  id: 'turn-content',
  what: 'A turn is not like this one.',
  fix: 'Leave the turn out, or write it in another way.'
}
