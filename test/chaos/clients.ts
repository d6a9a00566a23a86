import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Agent } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { callGateway, type CallPlan, type CancelPhase } from './client-call.ts'
import { KEYS } from './client-keys.ts'
import { type Dialect, judgeAnswer, type ReceivedAnswer } from './judge-answer.ts'
import { loadAt } from './load-curve.ts'
import { LONG_MARK } from './one-sided.ts'
import { Random } from './random.ts'
import { serve } from '../helper/subprocess.ts'
import { wordsOf } from '../helper/own-words.ts'

/** The clients of the chaos test, all in one process of their own: each asks, thinks, asks again, and often leaves early. */

export type ClientsQuestion =
  | { readonly type: 'start'; readonly clients: number }
  /** A worker has been killed or is still missing: connections may break now. */
  | { readonly type: 'bereft' }
  /** Nobody asks again; answered when all have their answers. */
  | { readonly type: 'stop' }
  /** So many requests at once. */
  | { readonly type: 'burst'; readonly count: number }
  /** So many long streams at once, each of them given up. */
  | { readonly type: 'leave'; readonly count: number }
  | { readonly type: 'figures' }

export interface ClientFacts {
  readonly requests: number
  /** Requests by how they ended. */
  readonly outcomes: Readonly<Record<string, number>>
  /** What must never happen. */
  readonly violations: readonly string[]
  /** Longest time to the first byte of an answer. */
  readonly longestFirstByteMs: number
}

/** A connection that breaks longer than this after all workers are there again was broken by something else. */
const KILL_BLAME_MS = 5_000
/** All clients have come by then. */
const ARRIVAL_MS = 3000

const [url = '', seed = ''] = process.argv.slice(2)
let outcomes: Record<string, number> = {}
let requests = 0
let longestFirstByteMs = 0
let bereftAt = -Infinity
const delays = monitorEventLoopDelay({ resolution: 20 })
delays.enable()
let startedAt = 0
let isStopping = false
let violations: string[] = []
let loops: Promise<void>[] = []

serve(async (question: ClientsQuestion): Promise<ClientFacts> => {
  switch (question.type) {
    case 'start':
      startedAt = performance.now()
      loops = Array.from({ length: question.clients }, (_, index) => runClient(index))
      break
    case 'bereft':
      bereftAt = performance.now()
      break
    case 'stop':
      isStopping = true
      await Promise.all(loops)
      break
    case 'burst':
      await burst(question.count)
      break
    case 'leave':
      await leave(question.count)
      break
    case 'figures':
      break
  }
  return { requests, outcomes, violations, longestFirstByteMs }
})

async function runClient(index: number): Promise<void> {
  const random = new Random(Number(seed) * 1_000_003 + index)
  const agent = random.chance(0.5) ? new Agent({ keepAlive: true }) : false
  const key = random.chance(0.6) ? KEYS[0] : random.pick(KEYS.slice(1))!
  await delay(random.between(0, ARRIVAL_MS))
  for (let round = 0; !isStopping; round++) {
    await myTurn(index)
    await delay(random.between(0, random.chance(0.05) ? 3000 : 400))
    const answer = await makeCall(nextPlan(random, { id: `${index}-${round}`, agent, key }))
    if (answer?.status === 503) await delay(random.between(100, 1000))
  }
  if (agent !== false) agent.destroy()
}

/** At half load one client of ten asks, in a lull nobody does. */
async function myTurn(index: number): Promise<void> {
  for (;;) {
    const { load, leftMs } = loadAt(performance.now() - startedAt)
    const isMine = load === 'storm' || (load === 'half' && index % 10 === 0)
    if (isMine || isStopping) return
    await delay(Math.min(leftMs, 500))
  }
}

function nextPlan(random: Random, given: Pick<CallPlan, 'id' | 'agent' | 'key'>): CallPlan {
  const dialect: Dialect = random.chance(0.5) ? 'openai' : 'anthropic'
  const isStream = random.chance(0.75)
  const phase = random.weighted({
    never: 70,
    connected: 3,
    body: 5,
    waiting: 11,
    'first-byte': 3,
    'mid-stream': 8
  })
  return {
    ...given,
    url,
    dialect,
    isStream,
    body: bodyOf({ id: given.id, isStream, bytes: random.chance(0.03) ? 150_000 : 200 }),
    cancel: phase === 'never' ? null : { phase, afterMs: random.between(0, patienceOf(phase)) }
  }
}

function patienceOf(phase: CancelPhase): number {
  return phase === 'waiting' ? 2500 : phase === 'mid-stream' ? 300 : 60
}

function bodyOf(wish: { readonly id: string; readonly isStream: boolean; readonly bytes: number }) {
  const [owner = ''] = wish.id.split(' ')
  const content = `chaos-id:${wish.id} ${wordsOf(owner, wish.bytes)}`
  return Buffer.from(
    JSON.stringify({
      model: 'claude-haiku-4.5',
      max_tokens: 4096,
      stream: wish.isStream,
      messages: [{ role: 'user', content }]
    })
  )
}

/** How late this process may have heard of a loss, on a machine that is busy. */
function lagMs(): number {
  return delays.max / 1e6
}

/** Counts how it ended. The answer, if it was not given up. */
async function makeCall(plan: CallPlan): Promise<ReceivedAnswer | null> {
  requests += 1
  const result = await callGateway(plan)
  switch (result.name) {
    case 'cancelled':
      count(`cancelled: ${result.phase}`)
      return null
    case 'hung':
      count('hung')
      violations.push(`hung: ${plan.dialect} ${plan.id}, ${result.state}`)
      return null
    case 'answered':
      break
  }
  longestFirstByteMs = Math.max(longestFirstByteMs, result.firstByteMs)
  const { outcome, violation } = judgeAnswer(result.answer)
  count(outcome)
  if (violation !== null) violations.push(violation)
  const isLost = result.answer.isCut || result.answer.status === 0
  if (isLost && performance.now() - bereftAt > KILL_BLAME_MS + lagMs()) {
    violations.push(`lost without a worker's death: ${plan.dialect} ${plan.id} (${outcome})`)
  }
  return result.answer
}

async function burst(size: number): Promise<void> {
  outcomes = {}
  violations = []
  const random = new Random(Number(seed))
  const plans = Array.from({ length: size }, (_, index) => ({
    ...nextPlan(random, { id: `burst-${index}`, agent: false, key: KEYS[index % KEYS.length]! }),
    cancel: null
  }))
  const answers = await Promise.all(plans.map((plan) => makeCall(plan)))
  const failed = answers.find((answer) => answer !== null && answer.status !== 200)
  if (failed != null) violations.push(`a calm request met ${failed.status}: ${failed.body}`)
}

async function leave(size: number): Promise<void> {
  const random = new Random(Number(seed) + 1)
  const plans = Array.from({ length: size }, (_, index) => {
    const id = `leaver-${index}`
    const key = KEYS[index % KEYS.length]!
    const phase = random.pick(['waiting', 'first-byte', 'mid-stream'] as const)!
    return {
      ...nextPlan(random, { id, agent: false, key }),
      isStream: true,
      body: bodyOf({ id: `${id} ${LONG_MARK}`, isStream: true, bytes: 200 }),
      cancel: { phase, afterMs: random.between(0, patienceOf(phase)) }
    }
  })
  await Promise.all(plans.map((plan) => makeCall(plan)))
}

function count(outcome: string): void {
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
}
