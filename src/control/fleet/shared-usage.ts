import { setTimeout as sleep } from 'node:timers/promises'
import type { FleetRecord, FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import type { AccountUsage, Allowance } from '../../kiro/wire/account-usage.ts'
import { isJsonObject, parseJsonObject } from '../../shared/json.ts'
import { type AgedUsage, FRESH_MS, type UsageSharing } from '../account/plan-usage.ts'

export interface SharedUsageOptions {
  readonly records: FleetRecords
  readonly seal: FleetSeal
}

const RECORD = 'usage'
const AAD = `v1|record|${RECORD}`
const ASK_MS = 5_000
const LOOK_MS = 250
const MAX_ALLOWANCES = 64
const MAX_WORD_CHARS = 256

type Shared = { readonly isAsked: true } | { readonly usage: AccountUsage }

/** One gateway reads the account's usage for all; without Valkey, or after a long wait, each for itself. */
export function shareUsage(options: SharedUsageOptions): UsageSharing {
  return async (ask) => {
    const found = await askTogether(options, ask)
    return found ?? { usage: await ask(), ageMs: 0, isAlone: true }
  }
}

async function askTogether(
  options: SharedUsageOptions,
  ask: () => Promise<AccountUsage>
): Promise<AgedUsage | null> {
  const deadline = performance.now() + ASK_MS
  while (performance.now() < deadline) {
    const record = await options.records.read(RECORD).catch(() => null)
    if (record === null) return null
    const { ageMs = 0 } = record
    const shared = readShared(options, record)
    if (shared !== null && 'usage' in shared && ageMs < FRESH_MS) {
      return { usage: shared.usage, ageMs }
    }
    const isAsked = shared !== null && 'isAsked' in shared && ageMs < ASK_MS
    if (isAsked) await sleep(LOOK_MS)
    else {
      const rev = await write(options, record.rev, { isAsked: true })
      if (rev !== null) return { usage: await askForAll(options, rev, ask), ageMs: 0 }
      await sleep(LOOK_MS)
    }
  }
  return null
}

async function askForAll(
  options: SharedUsageOptions,
  rev: number,
  ask: () => Promise<AccountUsage>
): Promise<AccountUsage> {
  try {
    const usage = await ask()
    await write(options, rev, { usage })
    return usage
  } catch (cause) {
    await options.records.cas(RECORD, { rev, value: null, isQuiet: true }).catch(() => {})
    throw cause // the others ask, too: it may be a matter of this gateway
  }
}

/** Returns the new revision; `null` if another writer was first, or the outcome is unknown. */
async function write(
  { records, seal }: SharedUsageOptions,
  rev: number,
  shared: Shared
): Promise<number | null> {
  const value = seal.seal(JSON.stringify(shared), AAD)
  const ttlMs = 'usage' in shared ? FRESH_MS : ASK_MS
  const answer = await records.cas(RECORD, { rev, value, ttlMs, isQuiet: true }).catch(() => null)
  return answer?.isWritten === true ? answer.record.rev : null
}

function readShared({ seal }: SharedUsageOptions, { value }: FleetRecord): Shared | null {
  const text = value === null ? null : seal.open(value, AAD)
  const shared = text === null ? null : parseJsonObject(text)
  if (shared?.['isAsked'] === true) return { isAsked: true }
  const usage = shared?.['usage']
  return isUsage(usage) ? { usage } : null
}

function isUsage(value: unknown): value is AccountUsage {
  if (!isJsonObject(value)) return false
  const { plan, resetsAt, allowances, overage } = value
  if (!(plan === null || isWord(plan)) || !(resetsAt === null || isAmount(resetsAt))) return false
  if (!Array.isArray(allowances) || allowances.length > MAX_ALLOWANCES) return false
  if (!allowances.every(isAllowance) || !isJsonObject(overage)) return false
  const { isEnabled, used, charges, currency, rate, cap } = overage
  const areKnown = isAmount(used) && isAmount(charges)
  const areAmounts = areKnown && [rate, cap].every((one) => one === null || isAmount(one))
  return typeof isEnabled === 'boolean' && areAmounts && (currency === null || isWord(currency))
}

const KINDS: readonly unknown[] = ['plan', 'free_trial', 'bonus'] satisfies Allowance['kind'][]

function isAllowance(value: unknown): boolean {
  if (!isJsonObject(value)) return false
  const { kind, name, unit, used, limit } = value
  return KINDS.includes(kind) && isWord(name) && isWord(unit) && isAmount(used) && isAmount(limit)
}

function isWord(value: unknown): boolean {
  return typeof value === 'string' && value.length <= MAX_WORD_CHARS
}

function isAmount(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value)
}
