import { createHash } from 'node:crypto'
import { isHeavier, UpstreamLimits } from '../kiro/rules/rules.ts'
import type { RequestForm } from '../kiro/wire/hosts.ts'
import { parseJson } from '../shared/json.ts'
import { simulatedModel } from './models.ts'
import { badRequest, FAULTS, type Refusal, throttled } from './refusal.ts'
import { type RequestView, viewRequest } from './request-view.ts'
import { type Signer, type Step, writeScript } from './script.ts'
import { countRequestTokens } from './tokens.ts'
import { type ControlWords, findControlWords, splitModelName } from './words.ts'

export interface Script {
  readonly steps: Iterable<Step>
  readonly words: ControlWords
}

export interface Extras {
  readonly sign: Signer
  readonly cachedTokens: (inputTokens: number) => number
}

const PLAIN: Extras = {
  sign: (text) => createHash('sha512').update(text).digest('base64'),
  cachedTokens: () => 0
}

/** Refuses nothing but what weighs too much (kiro-protocol §4.12) or is not JSON. */
export function readRequest(body: string, form: RequestForm): RequestView | Refusal {
  if (isHeavier(body, UpstreamLimits.payloadWeight)) return FAULTS['context-overflow']
  const payload = parseJson(body)
  return payload === undefined ? FAULTS.improper : viewRequest(payload, form)
}

export function answerTo(view: RequestView, extras: Extras = PLAIN): Refusal | Script {
  const { modelId, content, words } = promptOf(view)
  const model = simulatedModel(modelId)
  if (model === undefined) return FAULTS['invalid-model']
  const inputTokens = countRequestTokens(view, modelId)
  const refusal = faultOf(words) ?? checkWindow(inputTokens, model.tokenLimits.maxInputTokens)
  if (refusal !== null) return refusal
  const cachedTokens = extras.cachedTokens(inputTokens)
  const asked = { ...view, current: { ...view.current, content } }
  const { sign } = extras
  const steps = writeScript(asked, { words, model, cachedTokens, inputTokens, sign })
  return { steps, words }
}

function faultOf({ numbers }: ControlWords): Refusal | null {
  const named = Object.entries(FAULTS).find(([word]) => numbers.has(word))
  if (named !== undefined) return named[1]
  const retryAfterS = numbers.get('throttled')
  return retryAfterS === undefined ? null : { ...throttled(null), retryAfterS }
}

export function checkWindow(inputTokens: number, maxInputTokens: number): Refusal | null {
  if (inputTokens <= maxInputTokens) return null
  const message = `Input is too long for requested model. Maximum input length is ${maxInputTokens} tokens.`
  return badRequest(message, FAULTS['context-overflow'].reason)
}

/** The text to answer, with the control words in it and behind the model's name. */
export function promptOf(view: RequestView) {
  const { modelId, words } = splitModelName(view.modelId)
  const content = contentOf(view)
  return { modelId, content, words: findControlWords(`${content}\n${words}`) }
}

/**
 * The current message's text, unless an earlier one has replaced it by `sim:next`, or speaks for it by `sim:rounds`; own control
 * words prevail.
 */
function contentOf({ current, history }: RequestView): string {
  const { content } = current
  if (hasWords(content)) return content
  const earlier = history.filter((turn) => turn.role === 'user').toReversed()
  const origin = earlier.findIndex((turn) => hasFollowers(turn.content))
  let prompt: string | null = earlier[origin]?.content ?? null
  // The origin's turn is the first of the chain; each turn since used one round of a link, or the link.
  let rounds = roundsOf(prompt)
  for (let turn = 0; turn <= origin && prompt !== null; turn++) {
    rounds -= 1
    if (rounds > 0) continue
    prompt = findControlWords(prompt).next
    rounds = roundsOf(prompt)
  }
  return prompt ?? content
}

function hasFollowers(text: string): boolean {
  return findControlWords(text).next !== null || roundsOf(text) > 1
}

function roundsOf(text: string | null): number {
  return findControlWords(text ?? '').numbers.get('rounds') ?? 1
}

function hasWords(text: string): boolean {
  const { numbers, say, next } = findControlWords(text)
  return numbers.size > 0 || say !== null || next !== null
}
