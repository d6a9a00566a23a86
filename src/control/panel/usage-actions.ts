import { namedSums } from '../../ipc/usage-row.ts'
import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import { csvText } from '../../shared/csv.ts'
import { toDay } from '../../shared/dates.ts'
import { DAY_MS, NOTHING_USED } from '../book/usage-sums.ts'
import { dayOf } from '../plan/plan-record.ts'
import type { FoundSum, SumGroup } from '../usage/search-messages.ts'
import type { UsageSearcher } from '../usage/usage-searcher.ts'
import { answer, panelError } from './panel-answer.ts'
import { countIn, type RequestsActions, textIn, timeIn } from './requests-actions.ts'

export interface UsageActionsOptions {
  readonly searcher: Pick<UsageSearcher, 'ask'>
  readonly requests: Pick<RequestsActions, 'keysIn'>
}

const GROUPS = ['day', 'key', 'model', 'client'] as const satisfies readonly SumGroup[]
const USUAL_DAYS = 90
const MAX_ROWS = 10_000

/** Sums of days by key, model and client. */
export class UsageActions {
  readonly #options: UsageActionsOptions

  constructor(options: UsageActionsOptions) {
    this.#options = options
  }

  async show({ query, user }: PanelCall): Promise<PanelAnswer> {
    const now = Date.now()
    const by = groupIn(query['by'] ?? 'day', 'by')
    const split = query['split'] === undefined ? null : groupIn(query['split'], 'split')
    if (split === 'day' || split === by) {
      throw panelError('GW_FIELD_INVALID', '"split" is another one of key, model, client.', 'split')
    }
    const since = dayOf(timeIn(query, 'since', now) ?? now - (USUAL_DAYS - 1) * DAY_MS)
    const until = dayOf(timeIn(query, 'until', now) ?? now)
    const isCsv = query['format'] === 'csv'
    const offset = isCsv ? (countIn(query, 'cursor', Number.MAX_SAFE_INTEGER) ?? 0) : null
    const found = await this.#options.searcher.ask({
      type: 'sums',
      search: {
        by,
        split,
        keys: await this.#options.requests.keysIn(query['key'], user.key),
        model: textIn(query, 'model'),
        client: textIn(query, 'client'),
        since,
        until,
        offset,
        limit: MAX_ROWS + 1
      }
    })
    const { rows, total } = found ?? { rows: [], total: NOTHING_USED }
    const report = { by, split, rows, since: toDay(since * DAY_MS), until: toDay(until * DAY_MS) }
    if (offset !== null) return toCsv(report, offset)
    const shown = shownOf(report)
    return answer({
      by,
      split,
      since: report.since,
      until: report.until,
      rows: shown.map((row) => ({ ...labelsOf(row, report), ...namedSums(row) })),
      total: namedSums(total),
      truncated: shown.length < rows.length
    })
  }
}

interface UsageReport {
  readonly by: SumGroup
  readonly split: SumGroup | null
  readonly rows: readonly FoundSum[]
  readonly since: string
  readonly until: string
}

/** Days in their order, as far back as whole days fit; all else as it was found. */
function shownOf({ by, rows }: UsageReport): readonly FoundSum[] {
  const cut = rows[MAX_ROWS]
  const fitting = rows.slice(0, MAX_ROWS)
  if (by !== 'day') return fitting
  const whole = cut === undefined ? fitting : fitting.filter(({ group }) => group !== cut.group)
  return whole.toSorted((one, other) => Number(one.group) - Number(other.group))
}

function labelsOf(
  { group, split: part }: FoundSum,
  { by, split }: Pick<UsageReport, 'by' | 'split'>
): Readonly<Record<string, string>> {
  const name = by === 'day' ? toDay(Number(group) * DAY_MS) : String(group)
  return { [by]: name, ...(split !== null && { split: part ?? '' }) }
}

/** Part by part, as one answer of all rows would not fit the primary. */
function toCsv(report: UsageReport, offset: number): PanelAnswer {
  const { by, split, rows, since, until } = report
  const columns = Object.keys(namedSums(NOTHING_USED))
  const heading = [by, ...(split === null ? [] : [split]), ...columns].join(',')
  const lines = rows
    .slice(0, MAX_ROWS)
    .map((row) =>
      [...Object.values(labelsOf(row, report)).map(csvText), ...Object.values(namedSums(row))].join(
        ','
      )
    )
  const isFirst = offset === 0
  return {
    name: 'answer',
    status: 200,
    headers: {
      'content-type': 'text/csv; charset=utf-8',
      'content-disposition': `attachment; filename="kiro-gateway-usage-${since}-${until}.csv"`
    },
    body: [...(isFirst ? [heading] : []), ...lines].map((line) => `${line}\r\n`).join(''),
    next: rows.length > MAX_ROWS ? String(offset + MAX_ROWS) : null
  }
}

function groupIn(text: string, name: string): SumGroup {
  const group = GROUPS.find((one) => one === text)
  if (group !== undefined) return group
  throw panelError('GW_FIELD_INVALID', `"${name}" is one of ${GROUPS.join(', ')}.`, name)
}
