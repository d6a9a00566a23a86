import { Agent, get } from 'node:http'
import type { ChaosGateway } from './chaos-gateway.ts'
import { callGateway } from './client-call.ts'
import { KEYS } from './client-keys.ts'
import { judgeAnswer } from './judge-answer.ts'

/** In a prompt: an answer that lasts for some seconds. */
export const LONG_MARK = 'chaos-long'

/**
 * So many long streams at once, all of them from clients of one worker: the others are stopped while the connections
 * are made. Resolves with how many came whole.
 */
export async function crowdOneWorker(gateway: ChaosGateway, count: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: count })
  const [, ...others] = gateway.workerPids
  for (const pid of others) process.kill(pid, 'SIGSTOP')
  try {
    await Promise.all(Array.from({ length: count }, () => checkHealth(gateway.url, agent)))
  } finally {
    for (const pid of others) process.kill(pid, 'SIGCONT')
  }
  const calls = Array.from({ length: count }, (_, index) => streamLong(gateway.url, agent, index))
  const outcomes = await Promise.all(calls)
  agent.destroy()
  return outcomes.filter((outcome) => outcome === 'complete').length
}

function checkHealth(url: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = get(`${url}/health`, { agent }, (response) => {
      response.resume().on('end', resolve)
    })
    call.on('error', reject)
  })
}

async function streamLong(url: string, agent: Agent, index: number): Promise<string> {
  const id = `crowd-${index}`
  const content = `chaos-id:${id} ${LONG_MARK}`
  const body = Buffer.from(
    JSON.stringify({
      model: 'claude-haiku-4.5',
      stream: true,
      messages: [{ role: 'user', content }]
    })
  )
  const key = KEYS[index % KEYS.length] ?? KEYS[0]
  const plan = {
    url,
    key,
    dialect: 'openai',
    isStream: true,
    id,
    body,
    agent,
    cancel: null
  } as const
  const result = await callGateway(plan)
  return result.name === 'answered' ? judgeAnswer(result.answer).outcome : result.name
}
