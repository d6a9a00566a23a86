import type { Logger } from '../../observe/logger.ts'
import type { JsonObject } from '../../shared/json.ts'
import type { AuditEntry } from '../book/book-messages.ts'

export interface AuditKeeper {
  readonly keep: (entry: AuditEntry) => Promise<void>
  readonly log: Pick<Logger, 'info'>
}

/** A user of the panel, or a signal of the system. */
export interface Changer {
  readonly name: string
  readonly via: string
  readonly address: string
}

export interface PanelChange {
  readonly action: string
  readonly subject: string
  readonly before?: JsonObject | null
  readonly after?: JsonObject | null
}

const MAX_CHARS = 4_000
const MAX_SUBJECT_CHARS = 200

/** Writes down who changed what: a row of `usage.db` and a line of the log. Resolves when it is written, or cannot be now. */
export async function noteChange(
  { log, keep }: AuditKeeper,
  { name: who, via, address }: Changer,
  change: PanelChange
): Promise<void> {
  const { action, before = null, after = null } = change
  const subject = change.subject.slice(0, MAX_SUBJECT_CHARS)
  log.info({ action, subject, who, via, address, before, after }, 'changed by an operator')
  await keep({
    at: Date.now(),
    who,
    via,
    address,
    action,
    subject,
    before: textOf(before),
    after: textOf(after)
  })
}

/** A text that is too long would be no JSON if it were cut. */
function textOf(value: JsonObject | null): string {
  if (value === null) return ''
  const text = JSON.stringify(value)
  return text.length <= MAX_CHARS ? text : JSON.stringify({ tooLong: true })
}
