import { Agent, type IncomingMessage, request as ask, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'
import { serve, Subprocess } from '../helper/subprocess.ts'
import { ownersIn } from '../helper/own-words.ts'
import { Simulator } from '../strict-simulator/simulator.ts'
import { bystanderPrompt, OWNER_OF_PROMPT } from './bystander-prompt.ts'

/**
 * The simulator in a process of its own, which looks at whose words each request has. `start-split` makes the answers to all but
 * bystanders in one more process: bystanders do not wait until the simulator has made a long answer.
 */

export type SimulatorQuestion = 'start' | 'start-split' | 'mixed'

export interface SimulatorFacts {
  readonly url: string
  /** Requests in which words were that are not their client's; the first of them. */
  readonly mixed: readonly string[]
}

const MAX_MIXED = 20

const mixed: string[] = []
let url = ''

/** A bystander's words stand in prompts of the bystander alone. */
function check(text: string): void {
  const [, owner = ''] = OWNER_OF_PROMPT.exec(text) ?? []
  const rest = owner === '' ? text : text.replaceAll(bystanderPrompt(owner), '')
  const strangers = [...ownersIn(rest)]
  if (strangers.length > 0 && mixed.length < MAX_MIXED)
    mixed.push(`a request of ${owner || 'the attacker'} has words of ${strangers.join(', ')}`)
}

/** Starts the other process. Gives what has it answer the attackers' generations. */
async function startOther(): Promise<
  (text: string, request: IncomingMessage, response: ServerResponse) => boolean
> {
  const other = new Subprocess<SimulatorQuestion, SimulatorFacts>(
    new URL('./marked-simulator.ts', import.meta.url)
  )
  const { url: otherUrl } = await other.ask('start')
  const agent = new Agent({ keepAlive: true })
  return (text, request, response) => {
    const isGeneration = request.url === '/generateAssistantResponse'
    if (!isGeneration || OWNER_OF_PROMPT.test(text)) return false
    const { method = 'POST', headers } = request
    const call = ask(new URL(request.url ?? '/', otherUrl), { method, headers, agent })
    call.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.rawHeaders)
      pipeline(answer, response, () => {}) // where one breaks off, so does the other
    })
    call.on('error', () => response.destroy())
    response.once('close', () => call.destroy())
    call.end(text)
    return true
  }
}

serve(async (question: SimulatorQuestion): Promise<SimulatorFacts> => {
  if (question === 'mixed') return { url, mixed }
  const answers = question === 'start-split' ? await startOther() : () => false
  url = (await new Simulator({ onBody: check, answers }).start()).url
  return { url, mixed }
})
