/** The beginning of an event, up to its number. */
export type EventHead = `event: ${string}`

export function toEventHead(type: string): EventHead {
  return `event: ${type}\ndata: {"type":"${type}","sequence_number":`
}

/** Writes the events of one stream, numbered from 0 without gaps (kiro-protocol §10.3.3). */
export class EventWriter {
  #count = 0

  /** `members` is JSON text that begins with a comma. */
  write(head: EventHead, members: string): string {
    return `${head}${this.#count++}${members}}\n\n`
  }
}
