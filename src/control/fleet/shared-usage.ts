import { setTimeout as sleep } from 'node:timers/promises'
import type { FleetRecord, FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import { type AccountUsage, AccountUsageSchema } from '../../kiro/wire/account-usage.ts'
import { type Checked, jsonReader, Type } from '../../shared/schema-type.ts'
import { type AgedUsage, FRESH_MS, type UsageSharing } from '../account/plan-usage.ts'

export interface SharedUsageOptions {
  readonly records: FleetRecords
  readonly seal: FleetSeal
}

const RECORD = 'usage'
const AAD = `v1|record|${RECORD}`
const ASK_MS = 5_000
const LOOK_MS = 250

const SharedSchema = Type.Union([
  Type.Object({ isAsked: Type.Unsafe<true>({ const: true }) }),
  Type.Object({ usage: AccountUsageSchema })
])

type Shared = Checked<typeof SharedSchema>

const parseShared = jsonReader(SharedSchema)

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
    const rev = isAsked ? null : await write(options, record.rev, { isAsked: true })
    if (rev !== null) return { usage: await askForAll(options, rev, ask), ageMs: 0 }
    await sleep(LOOK_MS)
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
  return parseShared(value === null ? null : seal.open(value, AAD))
}
