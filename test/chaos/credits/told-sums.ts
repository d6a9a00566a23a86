import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { runCommandHere } from '../../helper/command-here.ts'
import { DashboardReader } from '../../helper/dashboard-reader.ts'
import { parseMetrics } from '../metrics-text.ts'
import { type Person, TEAM } from './credit-clients.ts'

/** Where a key's used credits are told; `null` where that place tells them of keys with a limit alone. */
export interface ToldOfKey {
  readonly command: number
  readonly ownUsage: number
  readonly ownLimit: number | null
  readonly operatorsUsage: number
  readonly dashboard: number | null
  readonly gauge: number | null
  readonly rows: number
  readonly days: number
}

/** A row of the account book. Credits are micro-credits. */
export interface BookRow {
  readonly who: Person
  readonly credits: number
  readonly metering: string
  /** It is what was lost with a worker or a gateway. */
  readonly isLost: boolean
}

export interface Told {
  readonly keys: Readonly<Record<Person, ToldOfKey>>
  readonly rows: readonly BookRow[]
  readonly reserved: number
}

export interface TellingGateway {
  readonly url: string
  readonly stateDir: string
  readonly operatorKey: string
  readonly keys: Readonly<Record<Person, string>>
}

/** Asks every place that tells what was used. */
export async function readTold(gateway: TellingGateway): Promise<Told> {
  const { url, stateDir, operatorKey } = gateway
  const get = async (path: string, key: string): Promise<string> =>
    (await fetch(url + path, { headers: { 'x-api-key': key } })).text()
  const { stdout } = await runCommandHere(['usage', '--since', '30d', '--json'], {
    cwd: stateDir,
    env: { STATE_DIR: stateDir }
  })
  const command: readonly { key: string; credits: number }[] = JSON.parse(stdout).rows
  const operators: readonly { key: string; last_30_days: { credits: number } }[] = JSON.parse(
    await get('/v1/usage', operatorKey)
  ).keys
  const metrics = parseMetrics(await get('/metrics', operatorKey))
  const gauges = metrics.sumBy('key_credits_used', 'key')
  const page = new DashboardReader(url, { authorization: `Bearer ${operatorKey}` })
  const { keys: shown } = await page.until(({ keys }) => keys !== null)
  page.close()
  const { rows, days } = readBook(stateDir)
  let reserved = 0
  const told = TEAM.map(async (who) => {
    const own = JSON.parse(await get('/v1/usage', gateway.keys[who]))
    reserved += Number(own.reserved ?? 0)
    const found = shown?.list.find(({ name }) => name === who)
    const sums: ToldOfKey = {
      command: command.find(({ key }) => key === who)?.credits ?? 0,
      ownUsage: Number(own.last_30_days.credits),
      ownLimit: own.limit === null || own.limit === undefined ? null : Number(own.used),
      operatorsUsage: operators.find(({ key }) => key === who)?.last_30_days.credits ?? 0,
      dashboard: found?.credits?.used ?? null,
      gauge: gauges[who] ?? null,
      rows: sumOf(rows.filter((row) => row.who === who)) / 1e6,
      days: (days[who] ?? 0) / 1e6
    }
    return [who, sums] as const
  })
  const keys = Object.fromEntries(await Promise.all(told))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- of each of the team
  return { keys: keys as Told['keys'], rows, reserved }
}

export function sumOf(rows: readonly { readonly credits: number }[]): number {
  return rows.reduce((sum, { credits }) => sum + credits, 0)
}

/** Micro-credits that count as lost, and that gateways hold of limits. The account book is left as the last gateway has left it. */
export function readLeft(stateDir: string): { readonly lost: number; readonly held: number } {
  const folder = mkdtempSync(join(tmpdir(), 'kiro-gateway-book-'))
  for (const name of ['usage.db', 'usage.db-wal']) {
    if (existsSync(join(stateDir, name))) cpSync(join(stateDir, name), join(folder, name))
  }
  const db = new DatabaseSync(join(folder, 'usage.db'))
  const pages = db.prepare('SELECT page FROM pages').all()
  db.close()
  const { rows } = readBook(folder)
  rmSync(folder, { recursive: true })
  const leases = pages.flatMap(({ page }) => Object.values<Lease>(JSON.parse(String(page)).leases))
  return {
    lost: sumOf(rows.filter(({ isLost }) => isLost)),
    held: leases.reduce((sum, { held }) => sum + held, 0)
  }
}

interface Lease {
  readonly held: number
}

function readBook(stateDir: string) {
  const db = new DatabaseSync(join(stateDir, 'usage.db'), { readOnly: true, timeout: 5_000 })
  const rows = db
    .prepare(
      'SELECT name, credits, metering, dialect FROM requests JOIN keys ON keys.id = requests.key'
    )
    .all()
    .map(
      ({ name, credits, metering, dialect }): BookRow => ({
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- there are no other keys
        who: String(name) as Person,
        credits: Number(credits),
        metering: String(metering),
        isLost: dialect === '' && Number(credits) > 0
      })
    )
  const sums = db
    .prepare(
      'SELECT name, sum(credits) AS credits FROM days JOIN keys ON keys.id = days.key GROUP BY name'
    )
    .all()
  db.close()
  const days: Record<string, number> = {}
  for (const { name, credits } of sums) days[String(name)] = Number(credits)
  return { rows, days }
}
