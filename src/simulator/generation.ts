import type { RequestForm } from '../kiro/wire/hosts.ts'
import { asJsonObject, parseJson } from '../shared/json.ts'
import { checkProfile, type Credential } from './control-plane.ts'
import type { Equipment } from './equipment.ts'
import { simulatedModel } from './models.ts'
import { FAULTS, improper, type Refusal } from './refusal.ts'
import { checkRequest, checkWeight, checkWindow } from './request-rules.ts'
import type { RequestView } from './request-view.ts'
import { type Step, writeScript } from './script.ts'
import { countRequestTokens } from './tokens.ts'
import {
  findControlWords,
  findFault,
  type FoundWords,
  type PromptMemory,
  splitModelName
} from './words.ts'

export interface Script {
  readonly steps: Generator<Step>
  readonly words: FoundWords
}

export interface GenerationParts {
  readonly memory: PromptMemory
  readonly equipment: Equipment
}

export function generate(
  { body, form }: { readonly body: string; readonly form: RequestForm },
  credential: Credential,
  parts: GenerationParts
): Refusal | Script {
  return refuseTooDeep(() => {
    const payload = parseJson(body)
    if (payload === undefined) return NO_JSON
    const refusal = checkProfile(withBodyProfile(credential, payload)) ?? checkWeight(body)
    if (refusal !== null) return refusal
    const view = checkRequest(payload, form)
    return 'status' in view ? view : answer(view, credential, parts)
  })
}

/** Applies the upstream's rules alone, ignoring sender and prompt. */
export function judgeRequest(body: string, form: RequestForm): Refusal | null {
  return refuseTooDeep(() => {
    const payload = parseJson(body)
    const view =
      payload === undefined ? NO_JSON : (checkWeight(body) ?? checkRequest(payload, form))
    if ('status' in view) return view
    const { modelId } = splitModelName(view.modelId)
    const maxTokens = simulatedModel(modelId)?.tokenLimits.maxInputTokens ?? Infinity
    return checkWindow(countRequestTokens(view, modelId), maxTokens)
  })
}

const NO_JSON = improper('request-shape', 'the body is no JSON')

function refuseTooDeep<T>(decide: () => T): T | Refusal {
  try {
    return decide()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return improper('request-shape', 'the body nests too deeply')
  }
}

function answer(
  view: RequestView,
  { token }: Credential,
  { memory, equipment }: GenerationParts
): Refusal | Script {
  const { modelId, words: modelWords } = splitModelName(view.modelId)
  const content = promptOf(view)
  const prompt = `${content}\n${modelWords}`
  const words = findControlWords(prompt)
  const model = simulatedModel(modelId)
  if (model === undefined) return FAULTS['invalid-model']
  const fault = findFault(words, () => memory.note(prompt, token))
  if (fault !== null) return fault
  const refusal = equipment.judge(view, { modelId, token, words })
  if (refusal !== null) return refusal
  const inputTokens = countRequestTokens(view, modelId)
  const overflow = checkWindow(inputTokens, model.tokenLimits.maxInputTokens)
  if (overflow !== null) return overflow
  const cachedTokens = equipment.cachedTokens(view, model, inputTokens)
  const asked = { ...view, current: { ...view.current, content } }
  const sign = equipment.signerFor(view, token)
  const steps = writeScript({ view: asked, words, model, cachedTokens, inputTokens, sign })
  return { steps, words }
}

/** The body's `profileArn` precedes the header's. */
function withBodyProfile(credential: Credential, payload: unknown): Credential {
  const root = asJsonObject(payload) ?? {}
  return 'profileArn' in root
    ? { ...credential, profileArn: String(root['profileArn']) }
    : credential
}

/** The current message's text, unless an earlier one replaced it by `sim:next`; own control words prevail. */
export function promptOf({ current, history }: RequestView): string {
  const { content } = current
  if (hasWords(content)) return content
  const earlier = history.filter((turn) => turn.role === 'user').toReversed()
  const origin = earlier.findIndex((turn) => findControlWords(turn.content).next !== null)
  let prompt: string | null = earlier[origin]?.content ?? null
  // The origin's turn is the first of the chain; each turn since used one link.
  for (let turn = 0; turn <= origin && prompt !== null; turn++) {
    prompt = findControlWords(prompt).next
  }
  return prompt ?? content
}

function hasWords(text: string): boolean {
  const { flags, numbers, say, next, others } = findControlWords(text)
  const isAny = flags.size > 0 || Object.keys(numbers).length > 0 || others.size > 0
  return isAny || say !== null || next !== null
}
