import type { UpstreamEvent } from '../../src/kiro/wire/event.ts'

export type ToolEvent = Extract<UpstreamEvent, { type: 'tool' }>

export function text(content: string): UpstreamEvent {
  return { type: 'text', text: content }
}

/** One frame of a tool call; without `input` and `stop` it is the one that announces the call. */
export function tool(
  id: string,
  name: string,
  rest: Partial<Pick<ToolEvent, 'input' | 'stop'>> = {}
): ToolEvent {
  return { type: 'tool', id, name, stop: false, ...rest }
}

/** What follows an answer that the upstream finished. */
export function closing(stopReason = 'END_TURN'): readonly UpstreamEvent[] {
  return [
    { type: 'metadata', stopReason },
    { type: 'context-usage', percentage: 1.5 },
    { type: 'metering', credits: 0.02 }
  ]
}

/** Cuts text at the given places, wherever they fall. */
export function cutAt(whole: string, places: readonly number[]): readonly string[] {
  const cuts = places.map((place) => place % (whole.length + 1)).toSorted((a, b) => a - b)
  return [0, ...cuts].map((from, index) => whole.slice(from, cuts[index] ?? whole.length))
}

/** Cuts text into slices of one size. */
export function sliceBy(whole: string, size: number): readonly string[] {
  const slices: string[] = []
  for (let from = 0; from < whole.length; from += size) slices.push(whole.slice(from, from + size))
  return slices
}

/** No body is cut at more places than this. */
const MAX_PLACES = 500

/** Places to cut a body: each byte of a small one; of a large one so many, evenly spread over all of its frames. */
export function placesIn({ byteLength }: Uint8Array): readonly number[] {
  const count = Math.min(byteLength - 1, MAX_PLACES)
  return Array.from(
    { length: count },
    (_, index) => 1 + Math.floor((index * (byteLength - 1)) / count)
  )
}
