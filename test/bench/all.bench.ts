import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runAgainst } from './against.ts'
import { type Line, type Row, toTable } from './row.ts'
import { budgetRow } from './rows/budget.ts'
import { cpuRows } from './rows/cpu.ts'
import { dashboardRow } from './rows/dashboard.ts'
import { firstByteRow } from './rows/first-byte.ts'
import { loopDelayRow } from './rows/loop-delay.ts'
import { memoryRow } from './rows/memory.ts'
import { pauseRow } from './rows/pause.ts'
import { recordingRow } from './rows/recording.ts'
import { reuseRow } from './rows/reuse.ts'
import { socketRow } from './rows/socket.ts'
import { stallsRow } from './rows/stalls.ts'
import { startRow } from './rows/start.ts'
import { usageRow } from './rows/usage.ts'
import { youngRow } from './rows/young.ts'
import { progress, Stand } from './stand.ts'

/**
 * Measures the gateway's real processes beside a passthrough (docs/lab/benchmarks.md). Run by hand:
 * `npm run bench`, `npm run bench -- --quick`, `npm run bench -- --row memory`; `--before PROGRAM` measures another version in the same
 * run, and `--against URL` another gateway.
 */

const rows = [
  ...cpuRows,
  budgetRow,
  recordingRow,
  dashboardRow,
  stallsRow,
  loopDelayRow,
  memoryRow,
  firstByteRow,
  pauseRow,
  reuseRow,
  startRow,
  usageRow,
  youngRow,
  socketRow
]
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    before: { type: 'string' }, // src/start.js of another version
    'before-node': { type: 'string' },
    row: { type: 'string', multiple: true },
    against: { type: 'string' },
    dialect: { type: 'string', default: 'chat' },
    model: { type: 'string', default: 'claude-haiku-4.5' },
    pid: { type: 'string' },
    'upstream-port': { type: 'string' }
  }
})
const chosen = values.row ?? rows.map((row) => row.name)
const unknown = chosen.filter((name) => rows.every((row) => row.name !== name))

if (unknown.length > 0) {
  process.stderr.write(
    `no row ${unknown.join(', ')}; rows: ${rows.map((row) => row.name).join(', ')}\n`
  )
  process.exitCode = 1
} else if (values.before === undefined ? values['before-node'] : values.against) {
  process.stderr.write('--before-node needs --before, which cannot be had with --against\n')
  process.exitCode = 1
} else if (values.against === undefined) {
  await run()
} else {
  await runAgainst({
    url: values.against,
    wording: { dialect: values.dialect === 'messages' ? 'messages' : 'chat', model: values.model },
    key: process.env['BENCH_KEY'],
    pid: values.pid === undefined ? null : Number(values.pid),
    upstreamPort: Number(values['upstream-port'] ?? 0),
    isQuick: values.quick
  })
}

async function run(): Promise<void> {
  const stand = new Stand({ isQuick: values.quick })
  const lines: Line[] = []
  // Gateways are processes of their own: they would outlive a bench that is stopped.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void stand.close().finally(() => process.exit(1)))
  }
  try {
    await stand.start()
    for (const row of rows) {
      if (!chosen.includes(row.name)) continue
      progress(row.name)
      lines.push(...(await withBefore(stand, row)))
    }
  } finally {
    await stand.close()
  }
  const [{ model } = { model: 'unknown' }] = cpus()
  process.stdout.write(`Node ${process.version}, ${cpus().length} × ${model.trim()}\n`)
  process.stdout.write(
    'CPU and memory are those of the whole process tree; medians of the rounds.\n\n'
  )
  process.stdout.write(toTable(lines))
}

/** With what the same row finds of the version before, where there is one. */
async function withBefore(stand: Stand, row: Row): Promise<readonly Line[]> {
  const { before: program, 'before-node': node } = values
  if (program === undefined || row.isOwn === true) return row.run(stand)
  const before = { program: resolve(program), ...(node !== undefined && { node: resolve(node) }) }
  if (row.takesTurns === true) return row.run(stand, before)
  const lines = await row.run(stand)
  progress(`${row.name}: before`)
  stand.use(before)
  const others = await row.run(stand)
  stand.use({})
  return lines.map((line) => ({
    ...line,
    before: others.find(({ what }) => what === line.what)?.gateway ?? []
  }))
}
