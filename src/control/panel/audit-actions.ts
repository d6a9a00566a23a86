import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import type { Logger } from '../../observe/logger.ts'
import { toIso } from '../../shared/dates.ts'
import { type JsonObject, parseJson } from '../../shared/json.ts'
import type { AuditEntry } from '../book/book-messages.ts'
import type { UsageSearcher } from '../usage/usage-searcher.ts'
import { answer } from './panel-answer.ts'
import { countIn } from './requests-actions.ts'

export interface AuditOptions {
  readonly searcher: Pick<UsageSearcher, 'ask'>
  readonly keep: (entry: AuditEntry) => Promise<void>
  readonly log: Pick<Logger, 'info'>
}

export interface PanelChange {
  readonly action: string
  readonly subject: string
  readonly before?: JsonObject | null
  readonly after?: JsonObject | null
}

const MAX_CHARS = 4_000
const MAX_SUBJECT_CHARS = 200

/** Writes down who changed what: a row of `usage.db` and a line of the log. Resolves like `AuditActions.note()`. */
export async function noteChange(
  { log, keep }: Pick<AuditOptions, 'log' | 'keep'>,
  user: PanelCall['user'],
  change: PanelChange
): Promise<void> {
  const { action, before = null, after = null } = change
  const subject = change.subject.slice(0, MAX_SUBJECT_CHARS)
  const { name: who, via, address } = user
  log.info({ action, subject, who, via, address, before, after }, 'changed in the panel')
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

/** The log of changes: writes it and shows it. */
export class AuditActions {
  readonly #options: AuditOptions

  constructor(options: AuditOptions) {
    this.#options = options
  }

  /** Resolves when it is written, or cannot be now. */
  note({ user }: Pick<PanelCall, 'user'>, change: PanelChange): Promise<void> {
    return noteChange(this.#options, user, change)
  }

  async list({ query }: PanelCall): Promise<PanelAnswer> {
    const limit = countIn(query, 'limit', MAX_LIMIT) ?? USUAL_LIMIT
    const before = countIn(query, 'cursor', Number.MAX_SAFE_INTEGER)
    const search = { before, limit: limit + 1 }
    const found = (await this.#options.searcher.ask({ type: 'audit', search })) ?? []
    const page = found.slice(0, limit)
    return answer({
      entries: page.map((one) => ({
        n: one.n,
        at: toIso(one.at),
        who: one.who,
        via: one.via,
        from: one.address,
        action: one.action,
        subject: one.subject,
        before: parsed(one.before),
        after: parsed(one.after)
      })),
      next: found.length > limit ? String(page.at(-1)?.n ?? '') : null
    })
  }
}

const USUAL_LIMIT = 50
const MAX_LIMIT = 500

function parsed(text: string): unknown {
  return text === '' ? null : (parseJson(text) ?? null)
}

/** A text that is too long would be no JSON if it were cut. */
function textOf(value: JsonObject | null): string {
  if (value === null) return ''
  const text = JSON.stringify(value)
  return text.length <= MAX_CHARS ? text : JSON.stringify({ tooLong: true })
}
