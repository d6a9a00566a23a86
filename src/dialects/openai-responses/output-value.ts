import { isJsonObject } from '../../kiro/json-object.ts'
import type { Block } from '../block-context.ts'
import { type ContentContext, readResultText } from '../content-blocks.ts'

/**
 * The text of a tool's output: a string, a list of parts (their images go to the draft), or any other JSON, which
 * is written out.
 */
export function readOutput(output: unknown, context: ContentContext): string {
  if (output === undefined || output === null) return ''
  if (typeof output === 'string') return output
  if (Array.isArray(output) && (output.length === 0 || output.some(isPart))) {
    return readResultText(output.map(toPart), context)
  }
  // What a computer call shows.
  if (isJsonObject(output) && typeof output['image_url'] === 'string') {
    return readResultText([{ type: 'input_image', image_url: output['image_url'] }], context)
  }
  return JSON.stringify(output)
}

/** What a tool says in JSON may have types of its own; only what has something to read is a part. */
function isPart(value: unknown): value is Block {
  if (typeof value === 'string') return true
  if (!isJsonObject(value)) return false
  const { type } = value
  if (typeof type !== 'string') return false
  return /^(?:in|out)put_/.test(type) || PART_MEMBERS.some((member) => member in value)
}

/** Beside parts, everything else is written out, too. */
function toPart(value: unknown): Block {
  return isPart(value) ? value : { type: 'text', text: JSON.stringify(value) }
}

/** One of these is in every part that a tool's output may be made of, of whatever vendor. */
const PART_MEMBERS = [
  'text',
  'refusal',
  'content',
  'source',
  'image_url',
  'file',
  'file_data',
  'file_id',
  'file_url',
  'encrypted_content',
  'tool_name'
] as const
