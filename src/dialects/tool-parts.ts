import type { StreamPart } from './stream-part.ts'

/** A call whose arguments are whole: `json` is the text of a JSON object. */
export interface ToolCall {
  readonly id: string
  /** As the client knows it. */
  readonly name: string
  readonly json: string
}

/** Longest piece of a call's arguments in one part, in UTF-16 units. */
const MaxSliceChars = 1024

/** The parts of one whole call: its start, its arguments in order, its end. */
export function toToolParts({ id, name, json }: ToolCall): readonly StreamPart[] {
  return [{ type: 'tool-start', id, name }, ...toDeltas(json), { type: 'tool-end' }]
}

/** Arguments in pieces of a size that clients like. */
export function toDeltas(json: string): readonly StreamPart[] {
  const parts: StreamPart[] = []
  for (let from = 0; from < json.length; ) {
    const to = findCut(json, from)
    parts.push({ type: 'tool-delta', json: json.slice(from, to) })
    from = to
  }
  return parts
}

/** Never between the halves of a surrogate pair: each piece must be valid text by itself. */
function findCut(text: string, from: number): number {
  const to = from + MaxSliceChars
  if (to >= text.length) return text.length
  const last = text.charCodeAt(to - 1)
  return last >= 0xd800 && last <= 0xdbff ? to - 1 : to
}
