import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import { Simulator } from '../../strict-simulator/simulator.ts'
import { ProcessTree } from '../../bench/process-tree.ts'
import { median } from '../../bench/statistics.ts'
import { startChat } from '../../helper/chat-client.ts'
import { GatewayProcess } from '../../helper/gateway-process.ts'

const PASSES = 3
const CALLS = 100
const REST_MS = 4_000
const FLAGS = ['--max-old-space-size=48', '--max-semi-space-size=2']

/** A gateway without FLEET_URL, from this source and from another, in turn. */
export async function singleMemory(before: string, row: (text: string) => void): Promise<void> {
  const figures = { now: [] as number[], before: [] as number[] }
  const root = join(import.meta.dirname, '../../..')
  for (let pass = 0; pass < PASSES; pass += 1) {
    figures.now.push(await privateMb(join(root, 'src/start.js')))
    figures.before.push(await privateMb(join(before, 'src/start.js')))
  }
  const [now, then] = [median(figures.now), median(figures.before)]
  row(
    `${now.toFixed(1)} MB now, ${then.toFixed(1)} MB before (medians of ${PASSES}, private, idle)`
  )
  row(`now ${list(figures.now)}; before ${list(figures.before)}`)
}

async function privateMb(entry: string): Promise<number> {
  const simulator = new Simulator()
  const { url } = await simulator.start()
  const launcher = [process.execPath, ...FLAGS]
  const gateway = await new GatewayProcess({ upstreamUrl: url, launcher, program: entry }).ready()
  for (let call = 0; call < CALLS; call += 1)
    await startChat(gateway.url, 'sim:events=3 sim:gap=1').answer
  await delay(REST_MS)
  const mb = new ProcessTree(gateway.child.pid ?? 0).privateMb()
  await gateway.destroy()
  await simulator.close()
  return mb
}

function list(values: readonly number[]): string {
  return values.map((value) => value.toFixed(1)).join(' ')
}
