import type { StreamPart } from './stream-part.ts'
import type { ToolCall } from './tool-calls.ts'

/** Longest piece of a call's arguments in one part, in UTF-16 units. */
const MaxSliceChars = 1024

/** The parts of one whole call: its start, its arguments in order, its end. */
export function toToolParts(call: ToolCall): readonly StreamPart[] {
  const { id, name, json } = call
  const parts: StreamPart[] = [{ type: 'tool-start', id, name }]
  for (let from = 0; from < json.length; ) {
    const to = findCut(json, from)
    parts.push({ type: 'tool-delta', json: json.slice(from, to) })
    from = to
  }
  parts.push({ type: 'tool-end' })
  return parts
}

/** Never between the halves of a surrogate pair: each piece must be valid text by itself. */
function findCut(text: string, from: number): number {
  const to = from + MaxSliceChars
  if (to >= text.length) return text.length
  const last = text.charCodeAt(to - 1)
  return last >= 0xd800 && last <= 0xdbff ? to - 1 : to
}
