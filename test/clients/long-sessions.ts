import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Way } from './client.ts'
import { CODEX } from './codex.ts'
import { writeSection } from './compatibility-page.ts'
import { COPILOT } from './copilot.ts'
import { installClient } from './install-client.ts'
import { type InterruptionFigures, runInterruptedSession } from './interrupted-session.ts'
import { type Disturbance, runLongSession, type SessionFigures } from './long-session.ts'
import { figuresRow, interruptionCell, sessionsSection } from './long-sessions-page.ts'
import { SDK_CLIENTS } from './sdk-clients.ts'

/** `npm run sessions [-- --only codex] [--write]`: exits with 1 if a session failed. */

const ROOT = join(tmpdir(), 'kiro-gateway-clients')
const DISTURBANCES: readonly Disturbance[] = ['a worker is killed', 'SIGUSR2', 'two at once']

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    write: { type: 'boolean', default: false }
  }
})
if (values.write && values.only.length > 0)
  throw new Error('--write needs all clients, without --only')
const ended = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => ended.abort(new Error(`ended by ${name}`)))
}
const clients = [CODEX, COPILOT, ...SDK_CLIENTS.filter(({ id }) => id === 'openai-agents')]
const wanted = clients.filter(({ id }) => values.only.length === 0 || values.only.includes(id))
const rows: string[][] = []
let hasFailed = wanted.length === 0

for (const client of wanted) {
  const installed = await installClient(client, join(ROOT, 'packages'))
  const run = async (way: Way, disturbance: Disturbance): Promise<SessionFigures> => {
    const folder = join(ROOT, 'sessions', `${client.id} ${disturbance}`.replaceAll(' ', '-'))
    const { signal } = ended
    const figures = await runLongSession({ client, way, installed, disturbance, folder, signal })
    hasFailed ||= figures.problem !== null
    const transport = way.note ?? 'HTTP'
    const outcome = figures.problem ?? `ok, ${figures.rounds.length} rounds`
    process.stderr.write(`${client.id} ${transport}, ${disturbance}: ${outcome}\n`)
    return figures
  }
  const overSocket = client.ways.find(({ note }) => note === 'WebSocket')
  const overHttp = client.ways.find(({ api }) => api === 'Responses')
  if (overSocket === undefined || overHttp === undefined) throw new Error(client.id)
  const socket = await run(overSocket, 'nothing')
  const http = await run(overHttp, 'nothing')
  const disturbed: string[] = []
  for (const disturbance of DISTURBANCES) {
    const { problem } = await run(overSocket, disturbance)
    disturbed.push(problem === null ? 'ok' : '**failed**')
  }
  const interrupted: InterruptionFigures[] = []
  for (const way of [overSocket, overHttp]) {
    const folder = join(ROOT, 'sessions', `${client.id}-interrupted-${interrupted.length + 1}`)
    const figures = await runInterruptedSession({ way, installed, folder, signal: ended.signal })
    hasFailed ||= figures.problem !== null
    const outcome = figures.problem ?? `ok, ${figures.freeMs.toFixed(0)} ms`
    process.stderr.write(`${client.id} ${way.note ?? 'HTTP'}, interrupted: ${outcome}\n`)
    interrupted.push(figures)
  }
  rows.push(figuresRow(client, { socket, http }, [...disturbed, interruptionCell(interrupted)]))
}
const section = sessionsSection(DISTURBANCES, rows)
process.stdout.write(section)
if (values.write) writeSection(section)
process.exitCode = hasFailed ? 1 : 0
