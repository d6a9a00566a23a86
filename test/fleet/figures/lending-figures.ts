import { join } from 'node:path'
import { quantile } from '../../bench/statistics.ts'
import { type ChatCall, startChat } from '../../helper/chat-client.ts'
import { type FleetTeam, until } from '../../helper/fleet-team.ts'
import { ms, withTeam } from './with-team.ts'

const LONG = 'sim:events=2000 sim:gap=50'
/** Of 60: what the other two keep, and the lane that streams never get. */
const KEPT = 2 + 3
const SHARE = 20
const PASSES = 6

type Row = (text: string) => void

/** One replica has all the load: how soon it has all connections, and how long each request waits that borrows one. */
export async function borrowing(row: Row): Promise<void> {
  await withTeam({}, async (team) => {
    const fulls: number[] = []
    const borrowed: number[] = []
    const own: number[] = []
    for (let pass = 0; pass < PASSES; pass += 1) {
      const name = ['a', 'b', 'c'][pass % 3] ?? 'a'
      fulls.push(await fill(team, name))
      await oneByOne(team, ['b', 'c', 'a'][pass % 3] ?? 'b', { own, borrowed })
    }
    const { max } = team.simulator.stats().connections
    row(`98 % of what there is for one: ${fulls.map(ms).join(', ')}; census ${max} of 60`)
    row(`first bytes with a connection of its share: p50 ${ms(quantile(own, 0.5))}`)
    const [p50, p99] = [quantile(borrowed, 0.5), quantile(borrowed, 0.99)]
    row(`with a borrowed one: p50 ${ms(p50)}, p99 ${ms(p99)} of ${borrowed.length}`)
  })
}

/** A replica is killed with its workers, and its successor starts at once. */
export async function killed(row: Row): Promise<void> {
  await withTeam({}, async (team) => {
    const victim = team.get('b')
    const calls = Array.from({ length: 15 }, () => startChat(victim.url, LONG))
    await until(() => team.simulator.stats().inFlight >= 15)
    const began = performance.now()
    for (const pid of [victim.child.pid ?? 0, ...victim.workerPids()]) process.kill(pid, 'SIGKILL')
    const stateDir = join(victim.folder, '.local/state/kiro-gateway')
    const successor = team.add('b', { STATE_DIR: stateDir })
    await successor.ready()
    await team.allServe()
    const load = Array.from({ length: 70 }, () => startChat(successor.url, LONG))
    await until(() => team.simulator.stats().inFlight >= 60 - KEPT)
    row(`all connections are there again ${ms(performance.now() - began)} after the kill`)
    await end(team, [...calls, ...load])
    await victim.destroy()
  })
}

async function fill(team: FleetTeam, name: string): Promise<number> {
  const calls = Array.from({ length: 70 }, () => startChat(team.get(name).url, LONG))
  const tookMs = await until(() => team.simulator.stats().inFlight >= (60 - KEPT) * 0.98)
  await end(team, calls)
  return tookMs
}

/** Each opens one stream when the one before has its first bytes. */
async function oneByOne(
  team: FleetTeam,
  name: string,
  { own, borrowed }: { readonly own: number[]; readonly borrowed: number[] }
): Promise<void> {
  const calls: ChatCall[] = []
  for (let at = 0; at < 60 - KEPT; at += 1) {
    const began = performance.now()
    const call = startChat(team.get(name).url, LONG)
    calls.push(call)
    await call.firstBytes
    const into = at < SHARE - 5 ? own : borrowed
    if (at < SHARE - 5 || at >= SHARE) into.push(performance.now() - began)
  }
  await end(team, calls)
}

async function end(team: FleetTeam, calls: readonly ChatCall[]): Promise<void> {
  for (const { request } of calls) request.destroy()
  await until(() => team.simulator.stats().inFlight === 0)
}
