import { convertRequest } from '../../src/dialects/dialect.ts'
import { rewritePayload } from '../../src/dialects/request/rewrite-payload.ts'
import { messagesBody } from '../helper/agent-request.ts'
import { requestOptions } from '../helper/request-options.ts'

/**
 * What the payload of another round costs, on the event loop up to 128 KiB and in a thread above: run it by hand on an idle
 * machine.
 */

const SIZES_KB = [16, 128, 400, 1300]
const RUNS = 50

const followUp = {
  answer: { text: 'Let me search.', toolCalls: [] },
  reply: { text: 'Go on.', toolResults: [] }
}

const rewrite = { kind: 'follow-up', followUp } as const

const rows = SIZES_KB.map((kb) => {
  const body = messagesBody({ bytes: kb * 1024, tools: 20 })
  const { payload } = convertRequest('anthropic-messages', body, requestOptions())
  for (let warm = 0; warm < RUNS; warm++) rewritePayload(payload, rewrite)
  const cpu = process.threadCpuUsage()
  for (let run = 0; run < RUNS; run++) rewritePayload(payload, rewrite)
  const { user, system } = process.threadCpuUsage(cpu)
  const ms = (user + system) / 1000 / RUNS
  return { KB: Math.round(payload.byteLength / 1024), 'cpu ms': ms.toFixed(2) }
})
console.table(rows)
