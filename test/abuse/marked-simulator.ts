import { Simulator } from '../strict-simulator/simulator.ts'
import { serve } from '../bench/service.ts'
import { bystanderPrompt, OWNER_OF_PROMPT } from './bystander-prompt.ts'
import { ownersIn } from '../helper/own-words.ts'

/** The simulator in a process of its own, which looks at whose words each request has. */

export type SimulatorQuestion = 'start' | 'mixed'

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

serve(async (question: SimulatorQuestion): Promise<SimulatorFacts> => {
  if (question === 'start') url = (await new Simulator({ onBody: check }).start()).url
  return { url, mixed }
})
