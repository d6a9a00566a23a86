/** Headers of every event-stream answer. Buffering proxies would hold events back, so they are told not to. */
export const SseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no'
} as const

/** A comment: keeps the connection alive and is invisible to every SSE parser, in any state. */
export const SseComment = ': ping\n\n'

/** A message without an event name; `json` must be one line, which JSON text without indentation is. */
export function toSseData(json: string): string {
  return `data: ${json}\n\n`
}

/** A message with an event name; `json` must be one line. */
export function toSseEvent(name: string, json: string): string {
  return `event: ${name}\ndata: ${json}\n\n`
}
