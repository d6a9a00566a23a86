import { mkdirSync, statSync } from 'node:fs'
import { usagePath } from '../../../src/control/book/usage-sums.ts'
import { runKiroGateway } from '../../helper/cli-process.ts'
import type { Line, Row } from '../row.ts'
import { progress } from '../stand.ts'
import { fillRecord } from '../usage-record.ts'

const Days = 89
const MostMs = 1000

/** What is asked of the record, and the longest that it may take. */
const Questions: readonly (readonly [command: string, mostMs: number | null])[] = [
  ['--by key --since 30d', MostMs],
  ['--by key --since 719h', MostMs],
  ['--by model', MostMs],
  ['--by client --csv', MostMs],
  ['--by day --since 89d --json', MostMs],
  ['--by model --key person-7', MostMs],
  ['--by hour --since 7d', MostMs],
  ['--by hour --since 30d', MostMs],
  ['--by hour --since 89d', null]
]

/** What the panel asks for 90 days of its places, the last for requests that do not exist. */
const Looks = [
  'usage?by=day&split=key&since=90d',
  'usage?by=key&since=90d',
  'usage?by=day&split=model&since=90d',
  'requests?since=90d&limit=50',
  'requests?since=90d&key=person-7&limit=50',
  'requests?since=90d&code=GW_UPSTREAM_RESET&limit=50'
]

/** How long questions about two million requests take: the command as a whole, which starts a process, and the panel. */
export const usageRow: Row = {
  name: 'usage',
  async run(stand) {
    const folder = stand.nextFolder()
    mkdirSync(folder, { recursive: true })
    const rows = stand.isQuick ? 200_000 : 2_000_000
    const runs = stand.isQuick ? 2 : 5
    const cost = await fillRecord(folder, { rows, days: Days })
    const megabytes = statSync(usagePath(folder)).size / 2 ** 20
    progress(`usage: ${megabytes.toFixed(0)} MB are written`)
    const all = `${rows / 1e6} million requests of ${Days} days`
    const lines: Line[] = [
      line('µs', "  the primary's thread writes a request, in batches of 250", [cost.perRow], {
        samples: all
      }),
      line('ms', '  the longest of these batches', [cost.longestBatch], { most: 20, samples: all }),
      line('MB', '  the file', [megabytes], { samples: all })
    ]
    for (const [command, mostMs] of Questions.toReversed()) {
      const ms: number[] = []
      for (let run = 0; run < runs; run++) ms.push(await timeUsage(folder, command))
      const samples = `${runs} runs, ${all}`
      const most = mostMs === null ? {} : { most: mostMs }
      lines.unshift(line('ms', `usage ${command}`, ms, { ...most, samples }))
    }
    const gateway = await stand.gateway({ env: { STATE_DIR: folder } })
    for (const look of Looks) {
      const ms: number[] = []
      for (let run = 0; run < runs; run++) ms.push(await timePanel(gateway.url, look))
      const samples = `${runs} runs, ${all}`
      lines.push(line('ms', `panel ${look}`, ms, { most: MostMs, samples }))
    }
    await stand.end(gateway)
    return lines
  }
}

async function timePanel(url: string, look: string): Promise<number> {
  const began = performance.now()
  const answer = await fetch(`${url}/admin/v1/${look}`)
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  return performance.now() - began
}

async function timeUsage(folder: string, command: string): Promise<number> {
  const args = ['usage', ...command.split(' ')]
  const began = performance.now()
  const { code, stderr } = await runKiroGateway(args, { cwd: folder, env: { STATE_DIR: folder } })
  if (code !== 0) throw new Error(stderr)
  return performance.now() - began
}

function line(
  unit: Line['unit'],
  what: string,
  gateway: readonly number[],
  { most, samples }: { readonly most?: number; readonly samples: string }
): Line {
  return {
    what,
    unit,
    gateway,
    passthrough: [],
    must: most === undefined ? null : { most },
    samples
  }
}
