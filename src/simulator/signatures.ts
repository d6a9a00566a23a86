import { createHash, createHmac } from 'node:crypto'
import { asJsonObject, type JsonObject } from '../shared/json.ts'
import { firstRefusal, improper, invalidBody, type Refusal } from './refusal.ts'
import type { ConversationTurn, RequestView } from './request-view.ts'

/** Signs the reasoning of one answer. */
export type Signer = (text: string) => string

const SECRET = 'kiro-gateway simulator'
const REASON = 'THINKING_SIGNATURE_INVALID'
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

/** The shape of reasoning that is sent back. */
export function checkReasoning({ history }: RequestView): Refusal | null {
  return firstRefusal(history, ({ message }, index) => {
    const content = message['reasoningContent']
    if (content === undefined || readContent(content) !== null) return null
    return invalidBody('reasoning-signature', `the reasoning of history[${index}] has a flat form`)
  })
}

/** Refuses reasoning that is not sent back as it came; that of other families is not looked at. */
export function checkReplay(view: RequestView, modelId: string, account: string): Refusal | null {
  if (!modelId.startsWith('claude')) return null
  const said = new SaidBefore()
  return firstRefusal(view.history, (turn, index) => {
    const kept = readContent(turn.message['reasoningContent'])
    const problem = kept && problemOf(kept, said, account)
    said.add(turn)
    if (problem === null) return null
    return improper(
      'reasoning-signature',
      problem,
      `messages.${index}.content.0: ${problem}`,
      REASON
    )
  })
}

/** The refusal on demand, for a request that sends any reasoning back. */
export function refuseReplay({ history }: RequestView): Refusal | null {
  const index = history.findIndex(({ message }) => message['reasoningContent'] !== undefined)
  if (index === -1) return null
  const message = `messages.${index}.content.0: ${INVALID}`
  return { status: 400, errorType: 'ValidationException', message, reason: REASON }
}

const INVALID = 'Invalid `signature` in `thinking` block'
const MOVED = 'The thinking block is bound to a different conversation'

function problemOf(
  { text, signature }: JsonObject,
  before: SaidBefore,
  account: string
): string | null {
  if (typeof text !== 'string' || typeof signature !== 'string') return INVALID
  const bytes = Buffer.from(signature, 'base64')
  const own = bind([account, text])
  if (!bytes.subarray(0, own.length).equals(own)) return INVALID
  return bytes.subarray(own.length).equals(bind([before.digest()])) ? null : MOVED
}

/** `{}` for what only the upstream can read; `null` for a shape that does not exist. */
function readContent(value: unknown): JsonObject | null {
  const content = asJsonObject(value)
  const [name, ...others] = Object.keys(content ?? {})
  if (content === null || others.length > 0) return null
  if (name === 'reasoningText') return asJsonObject(content[name])
  return name === 'redactedContent' && typeof content[name] === 'string' ? {} : null
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
