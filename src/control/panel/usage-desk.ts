import { namedSums, type UsageSums } from '../../ipc/usage-row.ts'
import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import { csvText } from '../../shared/csv.ts'
import { toDay } from '../../shared/dates.ts'
import { addSums, DAY_MS, NOTHING_USED } from '../book/usage-sums.ts'
import type { FoundSum, SumGroup } from '../usage/search-messages.ts'
import type { UsageSearcher } from '../usage/usage-searcher.ts'
import { answer, panelError } from './panel-answer.ts'
import { type RequestsDesk, textIn, timeIn } from './requests-desk.ts'

export interface UsageDeskOptions {
  readonly searcher: Pick<UsageSearcher, 'ask'>
  readonly requests: Pick<RequestsDesk, 'keysIn'>
}

const GROUPS = ['day', 'key', 'model', 'client'] as const satisfies readonly SumGroup[]
const USUAL_DAYS = 90
const MAX_ROWS = 10_000

/** Sums of days by key, model and client. */
export class UsageDesk {
  readonly #options: UsageDeskOptions

  constructor(options: UsageDeskOptions) {
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
        limit: MAX_ROWS + 1
      }
    })
    const rows = (found ?? []).slice(0, MAX_ROWS)
    const report = { by, split, rows, since: toDay(since * DAY_MS), until: toDay(until * DAY_MS) }
    if (query['format'] === 'csv') return toCsv(report)
    return answer({
      by,
      split,
      since: report.since,
      until: report.until,
      rows: rows.map((row) => ({ ...labelsOf(row, report), ...namedSums(row) })),
      total: namedSums(rows.reduce<UsageSums>(addSums, NOTHING_USED)),
      truncated: (found ?? []).length > MAX_ROWS
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

function labelsOf(
  { group, split: part }: FoundSum,
  { by, split }: Pick<UsageReport, 'by' | 'split'>
): Readonly<Record<string, string>> {
  const name = by === 'day' ? toDay(Number(group) * DAY_MS) : String(group)
  return { [by]: name, ...(split !== null && { split: part ?? '' }) }
}

function toCsv(report: UsageReport): PanelAnswer {
  const { by, split, rows, since, until } = report
  const columns = Object.keys(namedSums(NOTHING_USED))
  const heading = [by, ...(split === null ? [] : [split]), ...columns].join(',')
  const lines = rows.map((row) =>
    [...Object.values(labelsOf(row, report)).map(csvText), ...Object.values(namedSums(row))].join(
      ','
    )
  )
  return {
    name: 'answer',
    status: 200,
    headers: {
      'content-type': 'text/csv; charset=utf-8',
      'content-disposition': `attachment; filename="kiro-gateway-usage-${since}-${until}.csv"`
    },
    body: `${[heading, ...lines].join('\r\n')}\r\n`
  }
}

function groupIn(text: string, name: string): SumGroup {
  const group = GROUPS.find((one) => one === text)
  if (group !== undefined) return group
  throw panelError('GW_FIELD_INVALID', `"${name}" is one of ${GROUPS.join(', ')}.`, name)
}

function dayOf(at: number): number {
  return Math.floor(at / DAY_MS)
}
