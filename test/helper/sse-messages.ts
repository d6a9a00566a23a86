export interface SseMessage {
  /** null where the message has no `event:` line. */
  readonly event: string | null
  readonly data: string
}

export interface SseText {
  readonly messages: readonly SseMessage[]
  readonly comments: number
}

/**
 * Reads a whole event stream strictly: blocks of single `event:` and `data:` lines or one comment, each
 * ended by an empty line, nothing left over.
 */
export function readSse(text: string): SseText {
  const blocks = text.split('\n\n')
  if (blocks.pop() !== '') throw new Error('The stream ends in the middle of a message')
  const comments = blocks.filter((block) => block.startsWith(':'))
  const messages = blocks.filter((block) => !block.startsWith(':')).map(readBlock)
  return { messages, comments: comments.length }
}

function readBlock(block: string): SseMessage {
  const match = /^(?:event: ([a-z_.]+)\n)?data: ([^\n]+)$/.exec(block)
  if (match === null) throw new Error(`No SSE message: ${block}`)
  return { event: match[1] ?? null, data: match[2] ?? '' }
}

/** A member that must be a string where it is present; `''` where it is missing or null. */
export function stringOf(member: unknown): string {
  if (member === undefined || member === null) return ''
  if (typeof member !== 'string') throw new Error(`Not a string: ${JSON.stringify(member)}`)
  return member
}
