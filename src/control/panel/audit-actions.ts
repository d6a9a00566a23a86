import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import { toIso } from '../../shared/dates.ts'
import { parseJson } from '../../shared/json.ts'
import type { UsageSearcher } from '../usage/usage-searcher.ts'
import { type AuditKeeper, noteChange, type PanelChange } from './audit-note.ts'
import { answer } from './panel-answer.ts'
import { countIn } from './requests-actions.ts'

export interface AuditOptions extends AuditKeeper {
  readonly searcher: Pick<UsageSearcher, 'ask'>
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
