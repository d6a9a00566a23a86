import { inspectConfig } from '../../config/load.ts'
import { DAY_MS, usagePath } from '../../control/book/usage-sums.ts'
import { type KeyDay, readKeyDays } from '../../control/usage/usage-report.ts'
import { MICROS_PER_CREDIT, type NamedKey } from '../../keys/key.ts'
import { periodAt } from '../../keys/period.ts'
import { toDay } from '../../shared/dates.ts'
import { asJsonObject, type JsonObject, textMember } from '../../shared/json.ts'
import type { CommandCall } from '../command.ts'
import { readAtGateway } from './running-gateway.ts'

/** Use of one key, in credits: of the limit's period, or of the last 30 days without a limit. */
export interface KeyUse {
  /** `null` if it is not known. */
  readonly used: number | null
  /** `null` without a limit. */
  readonly left: number | null
  /** A time or a UTC day; `null` if nothing is recorded. */
  readonly lastSeen: string | null
}

/** Asks the gateway of these settings; if none runs here, what it has recorded. Empty if neither is there. */
export async function useOfKeys(
  call: CommandCall,
  keys: readonly NamedKey[]
): Promise<ReadonlyMap<string, KeyUse>> {
  const told = keys.length === 0 ? null : await readAtGateway(call, 'keys')
  if (told !== null && Array.isArray(told['keys'])) {
    const list: readonly unknown[] = told['keys']
    return new Map(list.flatMap((one) => toEntry(asJsonObject(one) ?? {})))
  }
  const { stateDir } = inspectConfig(call.env).config.credentials
  const days = await readKeyDays(usagePath(stateDir))
  if (days === null) return new Map()
  const now = Date.now()
  return new Map(keys.map((key) => [key.id, useIn(days, key, now)]))
}

function toEntry(key: JsonObject): readonly (readonly [string, KeyUse])[] {
  const id = textMember(key, 'id')
  if (id === null) return []
  const credits = asJsonObject(key['credits'])
  const used = numberOf(
    (credits ?? asJsonObject(key['last_30_days']))?.[credits ? 'used' : 'credits']
  )
  return [[id, { used, left: numberOf(credits?.['left']), lastSeen: textMember(key, 'last_seen') }]]
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}

const DAYS_WITHOUT_LIMIT = 30

function useIn(days: readonly KeyDay[], { id, credits }: NamedKey, now: number): KeyUse {
  const own = days.filter(({ key }) => key === id)
  const since =
    credits === null
      ? now - DAYS_WITHOUT_LIMIT * DAY_MS
      : periodAt(credits.period, null, now).startsAt
  const micros = own
    .filter(({ day }) => day >= Math.floor(since / DAY_MS))
    .reduce((sum, one) => sum + one.credits, 0)
  const used = micros / MICROS_PER_CREDIT
  const last = own.reduce((latest, { day }) => Math.max(latest, day), -1)
  return {
    used,
    left: credits === null ? null : Math.max(0, credits.limit - used),
    lastSeen: last < 0 ? null : toDay(last * DAY_MS)
  }
}

/** For `--json`; all `null` if nothing is known. */
export function toUseJson(use: KeyUse | undefined): JsonObject {
  const { used = null, left = null, lastSeen = null } = use ?? {}
  return { used, left, lastSeen }
}
