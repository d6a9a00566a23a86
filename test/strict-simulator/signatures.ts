import { createHash, createHmac } from 'node:crypto'
import type { JsonObject } from '../../src/shared/json.ts'
import { badRequest } from '../../src/simulator/refusal.ts'
import type { ConversationTurn, RequestView } from '../../src/simulator/request-view.ts'
import type { Signer } from '../../src/simulator/script.ts'
import { readReasoning } from './reasoning.ts'
import { firstRefusal, improper, type StrictRefusal } from './refusals.ts'

const SIGNATURE_REASON = 'THINKING_SIGNATURE_INVALID'
const INVALID_SIGNATURE = 'Invalid `signature` in `thinking` block'
const SECRET = 'kiro-gateway simulator'
/** What the gateway writes beside tool results, where the user said nothing: it differs with the place of the turn. */
const UNSAID = ['', 'Continue.']

/** Whose answer it is. Renewed tokens are of one account. */
export function accountOf(token: string): string {
  return token.startsWith('sim-access-') ? 'simulated' : token
}

/**
 * Signatures are bound to the account and to all that was said before (kiro-protocol §9.10), each in its half of the
 * signature, so that a refusal can say what does not fit.
 */
export function signerFor({ history, current }: RequestView, account: string): Signer {
  const said = new SaidBefore()
  for (const turn of [...history, current]) said.add(turn)
  const prefix = said.digest()
  return (text) => Buffer.concat([bind([account, text]), bind([prefix])]).toString('base64')
}

/** Refuses reasoning that is not sent back as it came; that of other families is not looked at. */
export function checkReplay(
  view: RequestView,
  modelId: string,
  account: string
): StrictRefusal | null {
  if (!modelId.startsWith('claude')) return null
  const said = new SaidBefore()
  return firstRefusal(view.history, (turn, index) => {
    const kept = readReasoning(turn.message['reasoningContent'])
    const problem = kept && problemOf(kept, said, account)
    said.add(turn)
    if (problem === null) return null
    return improper(
      'reasoning-signature',
      problem,
      `messages.${index}.content.0: ${problem}`,
      SIGNATURE_REASON
    )
  })
}

/** Refuses a request that sends any reasoning back. */
export function refuseReplay({ history }: RequestView): StrictRefusal | null {
  const index = history.findIndex(({ message }) => message['reasoningContent'] !== undefined)
  if (index === -1) return null
  return badRequest(`messages.${index}.content.0: ${INVALID_SIGNATURE}`, SIGNATURE_REASON)
}

const MOVED = 'The thinking block is bound to a different conversation'

function problemOf(
  { text, signature }: JsonObject,
  before: SaidBefore,
  account: string
): string | null {
  if (typeof text !== 'string' || typeof signature !== 'string') return INVALID_SIGNATURE
  const bytes = Buffer.from(signature, 'base64')
  const own = bind([account, text])
  if (!bytes.subarray(0, own.length).equals(own)) return INVALID_SIGNATURE
  return bytes.subarray(own.length).equals(bind([before.digest()])) ? null : MOVED
}

/** A conversation so far. Without reasoning: what a client leaves out of that is found by the next signature. */
class SaidBefore {
  readonly #hash = createHash('sha256')

  add(turn: ConversationTurn): void {
    this.#hash.update(`${JSON.stringify(wordsOf(turn))}\n`)
  }

  digest(): string {
    return this.#hash.copy().digest('base64')
  }
}

function wordsOf(turn: ConversationTurn): readonly unknown[] {
  if (turn.role === 'assistant') return [turn.content, turn.toolUses]
  const content = turn.content.trim()
  const isUnsaid = turn.toolResults.length > 0 && UNSAID.includes(content)
  return [isUnsaid ? '' : content, turn.toolResults]
}

function bind(words: readonly string[]): Buffer {
  return createHmac('sha256', SECRET).update(JSON.stringify(words)).digest()
}
