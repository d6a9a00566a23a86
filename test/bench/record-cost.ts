import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { Channel } from '../../src/ipc/channel.ts'
import type { FromWorker, ToWorker } from '../../src/ipc/messages.ts'
import { Progress } from '../../src/server/plane/open-turns.ts'
import { RequestRecords, RowJournal } from '../../src/server/plane/primary-links.ts'
import { clientFamilyOf, toUsageRow, type TurnRecord } from '../../src/server/turn/turn-record.ts'
import { replyPlan } from '../helper/reply-plan.ts'
import { serve } from './service.ts'

/**
 * What a worker does for the record of usage, by itself, in a process of its own: makes a row of a request that is over, writes
 * it down, and sends it to its parent, with those of others.
 */

const REQUESTS = 100_000
/** Sent together, as by a worker with 500 answers a second. */
const TOGETHER = 100

/** Microseconds of CPU for each request. */
serve(async (): Promise<number> => {
  await run(REQUESTS / 10) // until it is compiled
  const before = process.cpuUsage()
  await run(REQUESTS)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / REQUESTS
})

async function run(requests: number): Promise<void> {
  const channel = new Channel<ToWorker, FromWorker>(process)
  const folder = mkdtempSync(join(tmpdir(), 'record-cost-'))
  const journal = new RowJournal(join(folder, 'rows'), {
    onFailure: (cause) => {
      throw cause
    },
    onNextFile: () => {}
  })
  const options = {
    channel,
    journal,
    allowances: { flush: () => {} },
    isPrimarySilent: () => false,
    isJournalled: () => true
  }
  const records = new RequestRecords(options)
  const record = answered()
  for (let n = 1; n <= requests; n++) {
    const client = clientFamilyOf('claude-cli/2.0.14 (external, cli)')
    const who = { key: 'k_5wKwG6MRKycW', client, dialect: 'anthropic-messages', worker: 1 }
    records.begin()
    records.note(toUsageRow(record, who))
    if (n % TOGETHER !== 0) continue
    records.flush()
    for (const name of readdirSync(folder).slice(0, -1)) rmSync(join(folder, name)) // as the primary does
    await setImmediate()
  }
  journal.close()
  rmSync(folder, { recursive: true })
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
  progress.meter(0.25)
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
    progress
  }
}
