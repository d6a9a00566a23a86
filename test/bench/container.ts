import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { freePort } from '../helper/free-port.ts'
import { MemoryGroup } from './memory-group.ts'
import { gatewayAnswer, progress, Stand } from './stand.ts'
import { signIn } from './target.ts'

/**
 * Memory of the image as `docker stats` shows it, in the limits of the compose file: `npm run bench:container`, with
 * `-- --image NAME` for another image and `--env NAME=VALUE` for its settings. See docs/lab/memory.md.
 */

const Image = 'kiro-gateway_kiro-gateway:latest'
const PatienceMs = 30_000
const SettleMs = 10_000
const SampleMs = 100
const Goals = { idle: 110, streams: 160, bodies: 220 } as const

const { values } = parseArgs({
  options: {
    image: { type: 'string', default: Image },
    env: { type: 'string', multiple: true, default: [] }
  }
})
const stand = new Stand({ isQuick: false })
try {
  await stand.start()
  await measure()
} finally {
  await stand.close()
}

async function measure(): Promise<void> {
  const port = await freePort()
  const id = runImage(port)
  try {
    const pid = Number(docker('inspect', '-f', '{{.State.Pid}}', id))
    await serving(id)
    const group = MemoryGroup.of(pid)
    const to = { url: `http://127.0.0.1:${port}`, answer: gatewayAnswer }
    await stand.play({ events: 10, gapMs: 0, firstMs: 0 })
    await stand.load({ ...to, conversation: 'short', streams: 1, requests: 1 })
    await delay(SettleMs)
    tell('idle, after one answer', group.usedMb(), Goals.idle)
    tell('  of it heaps, buffers and stacks', group.anonymousMb())
    await stand.play({ events: 100, gapMs: 100, firstMs: 0 })
    const streams = stand.load({ ...to, conversation: 'short', streams: 300, requests: 300 })
    tell('300 streams', await peakDuring(group, streams), Goals.streams)
    await stand.play({ events: 10, gapMs: 0, firstMs: 0 })
    const bodies = stand.load({ ...to, conversation: 'long', streams: 16, requests: 800 })
    tell('16 × 400 KB, 800 requests', await peakDuring(group, bodies), Goals.bodies)
    await delay(SettleMs)
    tell('idle again, after all that', group.usedMb())
    tell('processes killed', group.kills(), 0)
  } finally {
    docker('rm', '-f', id)
  }
}

/** Gives the container's id. It shares the machine's network: the upstream listens on loopback only. */
function runImage(port: number): string {
  const folder = stand.nextFolder()
  mkdirSync(folder, { recursive: true })
  const credentials = join(folder, 'credentials.json')
  writeFileSync(credentials, JSON.stringify(signIn()))
  for (const path of [folder, join(folder, '..')]) chmodSync(path, 0o755) // another user reads them
  const settings = [
    'SERVER_HOST=127.0.0.1',
    `SERVER_PORT=${port}`,
    'KIRO_CREDS_FILE=/credentials.json',
    `KIRO_API_URL=${stand.direct.url}`,
    ...values.env
  ]
  const limits = ['--memory=512m', '--memory-swap=512m', '--cpus=2', '--init', '--read-only']
  const mounts = [`--volume=${credentials}:/credentials.json:ro`, '--tmpfs=/tmp:size=16m']
  const env = settings.map((setting) => `--env=${setting}`)
  return docker('run', '-d', '--network=host', ...limits, ...mounts, ...env, values.image)
}

async function serving(id: string): Promise<void> {
  const deadline = performance.now() + PatienceMs
  while (!docker('logs', id).includes('"gateway ready"')) {
    if (performance.now() > deadline) throw new Error(`nothing came up:\n${docker('logs', id)}`)
    await delay(100)
  }
}

async function peakDuring(group: MemoryGroup, work: Promise<unknown>): Promise<number> {
  let isOver = false
  const over = work.finally(() => {
    isOver = true
  })
  let highest = 0
  while (!isOver) {
    highest = Math.max(highest, group.usedMb())
    await delay(SampleMs)
  }
  await over
  return highest
}

function tell(what: string, value: number, most?: number): void {
  progress(what)
  const goal = most === undefined ? '' : `  ≤ ${most}  ${value <= most ? 'ok' : 'over'}`
  process.stdout.write(`${what.padEnd(36)}${value.toFixed(0).padStart(5)}${goal}\n`)
}

function docker(...args: readonly string[]): string {
  return execFileSync('docker', args, { encoding: 'utf8' }).trim()
}
