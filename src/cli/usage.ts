import { inspectConfig } from '../config/load.ts'
import { addSums, DAY_MS, NOTHING_USED, usagePath } from '../control/book/usage-sums.ts'
import { forecastOf } from '../control/plan/forecast.ts'
import {
  dayOf,
  type Growth,
  growthOn,
  outsideOf,
  type PlanStory
} from '../control/plan/plan-record.ts'
import { planSentences } from '../control/plan/plan-text.ts'
import {
  readPlan,
  readUsage,
  type UsageGroup,
  type UsageLine
} from '../control/usage/usage-report.ts'
import { isUnnamedKey, namedSums, type UsageSums } from '../ipc/usage-row.ts'
import { keysPath, readKeys } from '../keys/key-store.ts'
import { isMeant, spanOf } from '../keys/key-text.ts'
import { MICROS_PER_CREDIT } from '../keys/key.ts'
import { type Command, type CommandCall, EXIT_OK, textOption, UsageError } from './command.ts'
import { noSuchKey } from './no-such-key.ts'
import { toColumns } from './terminal.ts'
import { csvText } from '../shared/csv.ts'
import { toIso } from '../shared/dates.ts'

const GROUPS = [
  'key',
  'model',
  'client',
  'metering',
  'day',
  'hour'
] as const satisfies readonly UsageGroup[]

export const usage: Command = {
  name: 'usage',
  summary: 'Reports usage by key, model, client, day or hour.',
  usage:
    'kiro-gateway usage [--by key|model|client|metering|day|hour] [--since 30d] [--key NAME] [--csv]',
  options: {
    by: { type: 'string' },
    since: { type: 'string' },
    key: { type: 'string' },
    csv: { type: 'boolean' }
  },
  help: `Reports the requests, tokens and credits recorded in this STATE_DIR, also while the gateway runs.

  --by               Groups by key (the default), model, client, metering, day or hour. Metering shows how
                     credits were counted: metered with the answer, metered after the client left, or estimated from tokens.
  --since 7d         Start, in UTC: a duration (7d, 4w), a day (2026-09-01), or hours (12h) to the minute.
                     By default 30d. Data older than USAGE_RETENTION_DAYS has no hours and no metering.
  --key NAME         Only this key; "operator" means PROXY_API_KEY. Without it, the plan is shown below the table: its
                     usage, the part used elsewhere, and how long it lasts.
  --csv              Prints comma-separated values.`,
  async run(call) {
    if (call.positionals.length > 0) throw new UsageError('usage takes only options')
    const by = groupOf(textOption(call, 'by') ?? 'key')
    const since = sinceOf(textOption(call, 'since') ?? '30d', Date.now())
    const key = textOption(call, 'key')
    if (call.isJson && call.values['csv'] === true)
      throw new UsageError('use either --json or --csv')
    const { stateDir } = inspectConfig(call.env).config.credentials
    const path = usagePath(stateDir)
    const lines = await readUsage(path, { by, since, key })
    if (key !== null && lines.length === 0) await requireKnown(key, stateDir)
    const plan = key === null ? await readPlan(path) : null
    tell(call, lines, { by, since, plan })
    return EXIT_OK
  }
}

/** @throws {GatewayError} GW_CONFIG_INVALID if there never was such a key */
async function requireKnown(name: string, stateDir: string): Promise<void> {
  if (isUnnamedKey(name.trim().toLowerCase())) return
  const keys = (await readKeys(keysPath(stateDir)))?.keys ?? []
  if (!keys.some((one) => isMeant(one, name))) throw noSuchKey(keys, name)
}

function groupOf(text: string): UsageGroup {
  const group = GROUPS.find((one) => one === text)
  if (group === undefined) throw new UsageError(`--by needs one of ${GROUPS.join(', ')}`)
  return group
}

/** Days begin at midnight, so that daily sums suffice. Epoch ms. */
function sinceOf(text: string, now: number): number {
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(text)
  const span = spanOf(text)
  const at = isDay ? Date.parse(text) : now - span
  // The 30th of February would be the 2nd of March.
  if (Number.isNaN(at) || (isDay && !new Date(at).toISOString().startsWith(text))) {
    throw new UsageError(
      '--since needs a duration such as 7d, 4w or 12h, or a day such as 2026-09-01'
    )
  }
  return span % DAY_MS === 0 ? Math.floor(at / DAY_MS) * DAY_MS : at
}

interface Told {
  readonly by: UsageGroup
  readonly since: number
  readonly plan: PlanStory | null
}

function tell(
  { terminal, isJson, values }: CommandCall,
  lines: readonly UsageLine[],
  { by, since, plan }: Told
): void {
  const total = lines.reduce(addSums, NOTHING_USED)
  if (isJson) {
    const rows = lines.map(({ group, ...sums }) => ({ [by]: group, ...namedSums(sums) }))
    const answer = {
      by,
      since: new Date(since).toISOString(),
      rows,
      total: namedSums(total),
      plan: plan === null ? null : toPlanJson(plan, Date.now())
    }
    return terminal.write(JSON.stringify(answer))
  }
  if (values['csv'] === true) {
    terminal.write([by, ...Object.keys(namedSums(total))].join(','))
    for (const { group, ...sums } of lines) {
      terminal.write([csvText(group), ...Object.values(namedSums(sums))].join(','))
    }
    return
  }
  const headings = [by.toUpperCase(), 'REQUESTS', 'FAILED', 'IN', 'OUT', 'CACHED', 'CREDITS']
  const rows = lines.map(({ group, ...sums }) => [group || '-', ...cellsOf(sums)])
  const sum = lines.length > 1 ? [['total', ...cellsOf(total)]] : []
  if (lines.length === 0)
    terminal.note(`No usage is recorded since ${new Date(since).toISOString()}.`)
  else for (const line of toColumns([headings, ...rows, ...sum])) terminal.write(line.trimEnd())
  if (plan !== null) for (const line of planSentences(plan, Date.now())) terminal.note(line)
}

function toPlanJson(story: PlanStory, now: number) {
  const { record } = story
  const forecast = forecastOf(story, now)
  return {
    plan: record.plan,
    at: new Date(record.at).toISOString(),
    used: record.used / MICROS_PER_CREDIT,
    limit: record.limit / MICROS_PER_CREDIT,
    resets_at: toIso(record.resetsAt),
    today: toGrowthJson(growthOn(record, dayOf(now))),
    since: { at: toIso(record.since.at), ...toGrowthJson(record.since) },
    forecast:
      forecast === null
        ? null
        : {
            per_day: Math.round(forecast.perDay) / MICROS_PER_CREDIT,
            used_up_at: toIso(forecast.usedUpAt)
          }
  }
}

function toGrowthJson({ used, booked }: Growth) {
  return {
    account: used / MICROS_PER_CREDIT,
    gateway: booked / MICROS_PER_CREDIT,
    outside: outsideOf({ used, booked }) / MICROS_PER_CREDIT
  }
}

function cellsOf(sums: UsageSums): readonly string[] {
  const { credits, ...counts } = namedSums(sums)
  return [...Object.values(counts).map(String), credits.toFixed(2)]
}
