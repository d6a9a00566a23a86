import { join, resolve } from 'node:path'
import type { UsageRow, UsageSums } from '../../ipc/usage-row.ts'

export const DAY_MS = 86_400_000

export function usagePath(stateDir: string): string {
  return resolve(join(stateDir, 'usage.db'))
}

/** Version 1 of `usage.db` had no column `requests.times`, version 2 no pages, version 3 no column `runs.lost`. */
export const USAGE_SCHEMA = 4

/** `total` takes sums of any size, where `sum` would fail; exact as far as JavaScript's numbers. */
export const SUM_COLUMNS =
  'total(requests) AS requests, total(failed) AS failed, total(input) AS input, total(output) AS output, total(cached) AS cached, total(credits) AS credits'

export const BOOK_DAYS =
  "SELECT day, total(credits) AS credits FROM days WHERE key <> 'kiro' AND day >= ? GROUP BY day"

export const NOTHING_USED: UsageSums = {
  requests: 0,
  failed: 0,
  inputTokens: 0,
  outputTokens: 0,
  cachedTokens: 0,
  credits: 0
}

export function addSums(sums: UsageSums, more: UsageSums): UsageSums {
  return {
    requests: sums.requests + more.requests,
    failed: sums.failed + more.failed,
    inputTokens: sums.inputTokens + more.inputTokens,
    outputTokens: sums.outputTokens + more.outputTokens,
    cachedTokens: sums.cachedTokens + more.cachedTokens,
    credits: sums.credits + more.credits
  }
}

export function toSums(row: Readonly<Record<string, unknown>>): UsageSums {
  return {
    requests: Number(row['requests']),
    failed: Number(row['failed']),
    inputTokens: Number(row['input']),
    outputTokens: Number(row['output']),
    cachedTokens: Number(row['cached']),
    credits: Number(row['credits'])
  }
}

export interface DaySums {
  readonly day: number
  readonly key: string
  readonly client: string
  readonly model: string
  readonly sums: UsageSums
}

export function sumsOfRow(row: Omit<UsageRow, 'turn'>): UsageSums {
  return {
    requests: 1,
    failed: row.code === '' ? 0 : 1,
    inputTokens: row.inputTokens,
    outputTokens: row.outputTokens,
    cachedTokens: row.cachedTokens,
    credits: row.credits
  }
}

export function sumsOfDays(
  rows: readonly Omit<UsageRow, 'turn'>[],
  more: readonly DaySums[] = []
): readonly DaySums[] {
  const days = new Map<string, DaySums>()
  const add = (one: DaySums): void => {
    const { day, key, client, model } = one
    const place = `${day} ${client.length} ${client} ${model.length} ${model} ${key}`
    const before = days.get(place)
    days.set(place, before === undefined ? one : { ...one, sums: addSums(before.sums, one.sums) })
  }
  for (const one of more) add(one)
  for (const row of rows) {
    const { at, key, client, model } = row
    add({ day: Math.floor(at / DAY_MS), key, client, model, sums: sumsOfRow(row) })
  }
  return [...days.values()]
}

/** Row for credits of requests that died with their gateway or worker. */
export function lostRow(key: string, credits: number, at: number): Omit<UsageRow, 'turn'> {
  return {
    at,
    key,
    client: 'other',
    dialect: '',
    model: '',
    status: 499,
    code: 'GW_INTERNAL',
    inputTokens: 0,
    outputTokens: 0,
    cachedTokens: 0,
    credits,
    totalMs: 0,
    firstMs: null,
    repairs: 0
  }
}
