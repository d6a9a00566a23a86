import { setImmediate } from 'node:timers/promises'
import { Allowances } from '../../src/admission/allowances.ts'
import { MemoryBudget } from '../../src/admission/memory-budget.ts'
import { noGrant } from '../../src/ipc/allowance.ts'
import { Channel } from '../../src/ipc/channel.ts'
import type { FromWorker, ToWorker } from '../../src/ipc/messages.ts'
import { BUILT_IN_MODELS } from '../../src/kiro/models/models.ts'
import { type Charge, type KeyLimits, TurnLimits } from '../../src/server/primary/key-limits.ts'
import { WorkerPrices } from '../../src/keys/prices.ts'
import { Progress } from '../../src/server/worker/open-turns.ts'
import {
  clientFamilyOf,
  type TurnRecord,
  RequestRecords,
  toUsageRow
} from '../../src/server/worker/turn-record.ts'
import { namedKey } from '../helper/allowance-team.ts'
import { replyPlan } from '../helper/reply-plan.ts'
import { serve } from '../helper/subprocess.ts'

/**
 * What a worker does for the record of usage, by itself, in a process of its own: makes a row of a request that is over and sends
 * it to its parent, with those of others, which it does for metrics in any case; and
 * reserves and settles credits, where the key has a limit of them.
 */
export interface RecordCostQuestion {
  readonly isRecorded: boolean
  readonly hasLimit: boolean
}

const REQUESTS = 100_000
const KEY = namedKey('k_5wKwG6MRKycW', { credits: { limit: 1e6, period: 'month' } })
/** Sent together, as by a worker with 500 answers a second. */
const TOGETHER = 100

/** Microseconds of CPU for each request. */
serve(async (question: RecordCostQuestion): Promise<number> => {
  await run(REQUESTS / 10, question) // until it is compiled
  const before = process.cpuUsage()
  await run(REQUESTS, question)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / REQUESTS
})

async function run(requests: number, { hasLimit }: RecordCostQuestion): Promise<void> {
  const channel = new Channel<ToWorker, FromWorker>(process)
  const allowances = new Allowances({ send: () => {}, silence: () => signal })
  const prices = new WorkerPrices(channel)
  const records = new RequestRecords({
    channel,
    allowances,
    prices,
    pulse: { isSilent: false }
  })
  const limits = hasLimit ? limitsWith(allowances, prices) : null
  prices.learn({ model: 'claude-sonnet-4.5', inputTokens: 21_500 }, 250_000) // it is known before the first reserve
  for (let n = 1; n <= requests; n++) {
    const client = clientFamilyOf('claude-cli/2.0.14 (external, cli)')
    const who = { key: KEY.id, client, dialect: 'anthropic-messages', worker: 1 }
    records.begin()
    const record = answered()
    const charge = limits === null ? null : await reserve(limits, n)
    if (charge !== null) record.progress.charges.push(charge)
    prices.learn({ model: 'claude-sonnet-4.5', inputTokens: 21_500 }, 250_000)
    records.note(toUsageRow(record, who))
    if (n % TOGETHER !== 0) continue
    records.flush()
    await setImmediate()
  }
}

const { signal } = new AbortController()

/** The worker has a lease that outlasts the bench. */
function limitsWith(allowances: Allowances, prices: WorkerPrices): KeyLimits {
  const grant = noGrant(`${KEY.id}/credits`)
  allowances.onGrants([{ ...grant, seq: 1, period: 1, granted: 1e12, ahead: 1e6 }])
  return {
    allowances,
    prices,
    pool: () => ({ poolTimeoutMs: null, maxWaiting: 0 }),
    models: () => BUILT_IN_MODELS,
    unread: new MemoryBudget(0, 0)
  }
}

/** What a request of that key does for its limit, from its admission to the end of its call. */
async function reserve(limits: KeyLimits, arrivedAt: number): Promise<Charge | null> {
  const own = new TurnLimits(KEY, limits)
  await own.admit({ arrivedAt, signal })
  const request = { model: 'claude-sonnet-4.5', inputTokens: 21_500 }
  const charge = await own.reserve(request, { arrivedAt, signal })
  charge?.add({ credits: 0.25, isAnswered: true, isLeft: false })
  charge?.settle()
  return charge
}

function answered(): TurnRecord {
  const progress = new Progress()
  progress.spend({
    inputTokens: 1_500,
    outputTokens: 300,
    cacheReadTokens: 20_000,
    cacheWriteTokens: 0,
    credits: 0.25
  })
  progress.meter(250_000, 'metered')
  return {
    requestId: 'req_bench',
    route: '/v1/messages',
    keyName: 'anna',
    status: 200,
    error: null,
    plan: replyPlan({}),
    bodyBytes: 400_000,
    bytesOut: 0,
    method: 'POST',
    keyHash: null,
    client: 'claude-code',
    progress
  }
}
