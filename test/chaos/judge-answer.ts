import { wholeText } from './answer-frames.ts'
import { strangersIn } from '../helper/own-words.ts'

export type Dialect = 'openai' | 'anthropic'

/** What a client has at the end of a request that it did not cancel. */
export interface ReceivedAnswer {
  readonly dialect: Dialect
  readonly isStream: boolean
  /** The number in the prompt, which the answer repeats. */
  readonly id: string
  /** 0 when there was none. */
  readonly status: number
  readonly body: string
  /** The connection broke before the answer was over. */
  readonly isCut: boolean
  /** What the system said to that; empty if nothing. */
  readonly errorCode: string
}

export interface Judgement {
  /** Short, of a closed set: what is counted. */
  readonly outcome: string
  /** What must never happen, and then why. */
  readonly violation: string | null
}

/** What the upstream's faults may become. A 500 would be a bug of the gateway, a 4xx one of this test. */
const ALLOWED = [429, 502, 503, 504, 529]

/** Whether an answer is whole, broke off and says so, or lies. */
export function judgeAnswer(answer: ReceivedAnswer): Judgement {
  const { status, isCut, isStream, body, id } = answer
  const [owner = ''] = id.split(' ')
  if (strangersIn(body, owner).length > 0) return wrong('words of another client', answer)
  if (status === 0) return fine(`no answer: ${answer.errorCode}`)
  if (status !== 200) {
    if (isCut) return fine(`${status} cut`)
    const outcome = `${status} ${errorName(answer.body)}`
    return ALLOWED.includes(status) ? fine(outcome) : wrong(outcome, answer)
  }
  return isStream ? judgeStream(answer) : judgeBody(answer)
}

function judgeBody(answer: ReceivedAnswer): Judgement {
  if (answer.isCut) return fine('cut')
  const body = JSON.parse(answer.body) as AnswerBody
  const text = body.choices?.[0]?.message?.content ?? body.content?.[0]?.text ?? ''
  const reason = body.choices?.[0]?.finish_reason ?? body.stop_reason ?? ''
  if (saysCut(reason) && isBeginning(text, answer.id)) return fine('cut off, said so')
  return isWhole(text, answer.id) ? fine('complete') : wrong('whole body, broken text', answer)
}

function judgeStream(answer: ReceivedAnswer): Judgement {
  const { text, hasEnd, hasError, reason } = readStream(answer)
  const { id, isCut } = answer
  if (!isBeginning(text, id)) return wrong('text out of order', answer)
  if (hasEnd && hasError) return wrong('end and error', answer)
  if (hasEnd && saysCut(reason)) return fine('cut off, said so')
  if (hasEnd) return isWhole(text, id) ? fine('complete') : wrong('end of a broken stream', answer)
  if (hasError) return fine('broken, said so')
  return isCut ? fine('cut') : wrong('neither end nor error', answer)
}

interface AnswerBody {
  readonly choices?: readonly {
    readonly message?: { readonly content?: string }
    readonly finish_reason?: string | null
  }[]
  readonly content?: readonly { readonly text?: string }[]
  readonly stop_reason?: string | null
}

interface StreamEvent {
  readonly type?: string
  readonly error?: unknown
  readonly delta?: { readonly text?: string; readonly stop_reason?: string | null }
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string }
    readonly finish_reason?: string | null
  }[]
}

function readStream({ body, isCut }: ReceivedAnswer) {
  let text = ''
  let reason = ''
  let hasEnd = false
  let hasError = false
  const messages = body.split('\n\n')
  if (isCut) messages.pop()
  for (const message of messages) {
    const at = message.startsWith('data: ') ? 0 : message.indexOf('\ndata: ') + 1
    if (!message.startsWith('data: ', at)) continue
    const payload = message.slice(at + 'data: '.length)
    if (payload === '[DONE]') {
      hasEnd = true
      continue
    }
    const event = JSON.parse(payload) as StreamEvent
    text += event.delta?.text ?? event.choices?.[0]?.delta?.content ?? ''
    reason = event.delta?.stop_reason ?? event.choices?.[0]?.finish_reason ?? reason
    if (event.type === 'message_stop') hasEnd = true
    if (event.error !== undefined) hasError = true
  }
  return { text, hasEnd, hasError, reason }
}

/** The rest was lost on its way. No answer of this upstream meets a limit. */
function saysCut(reason: string): boolean {
  return reason === 'length' || reason === 'max_tokens'
}

function isWhole(text: string, id: string): boolean {
  const words = / end:(\d+)$/.exec(text)?.[1]
  return words !== undefined && text === wholeText(id, Number(words))
}

/** Nothing is missing, doubled or of another request, as far as it came. */
function isBeginning(text: string, id: string): boolean {
  const cut = text.lastIndexOf(' end:')
  const words = cut === -1 ? text : text.slice(0, cut)
  const count = words.split(' ').length
  return wholeText(id, count).startsWith(words)
}

function errorName(body: string): string {
  const { error } = JSON.parse(body) as { error?: { code?: string | null; type?: string } }
  return error?.code ?? error?.type ?? 'unknown'
}

function fine(outcome: string): Judgement {
  return { outcome, violation: null }
}

function wrong(outcome: string, { dialect, id, status, body }: ReceivedAnswer): Judgement {
  return { outcome, violation: `${outcome}: ${dialect} ${id} ${status} …${body.slice(-400)}` }
}
