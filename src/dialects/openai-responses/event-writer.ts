import { glue, type Written } from '../output-text.ts'

/** The beginning of an event, up to its number. */
export type EventHead = `event: ${string}`

export function toEventHead(type: string): EventHead {
  return `event: ${type}\ndata: {"type":"${type}","sequence_number":`
}

/** Writes the events of one stream, numbered from 0 without gaps (kiro-protocol §10.3.3). */
export class EventWriter {
  #count = 0

  /** `members` is JSON text that begins with a comma. */
  write(head: EventHead, members: string): string
  write(head: EventHead, members: Written): Written
  write(head: EventHead, members: Written): Written {
    const beginning = `${head}${this.#count++}`
    if (typeof members === 'string') return `${beginning}${members}}\n\n`
    return glue(beginning, members, '}\n\n')
  }
}
