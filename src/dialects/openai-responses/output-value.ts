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
  if (isPartList(output)) return readResultText(output, context)
  // What a computer call shows.
  if (isJsonObject(output) && typeof output['image_url'] === 'string') {
    return readResultText([{ type: 'input_image', image_url: output['image_url'] }], context)
  }
  return JSON.stringify(output)
}

function isPartList(value: unknown): value is readonly Block[] {
  return (
    Array.isArray(value) &&
    value.every(
      (part) => typeof part === 'string' || (isJsonObject(part) && typeof part['type'] === 'string')
    )
  )
}
