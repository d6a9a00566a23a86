import { findControlWords, type FoundWords } from './control-words.ts'
import { checkProfile, type Credential } from './credential-rules.ts'
import { findFault } from './fault-words.ts'
import { splitModelName } from './model-words.ts'
import { findModel } from './models.ts'
import type { PromptMemory } from './prompt-memory.ts'
import { FAULTS, improper, type Refusal } from './refusal.ts'
import { promptOf } from './next-prompt.ts'
import { checkRequest } from './request-rules.ts'
import { countRequestTokens } from './request-tokens.ts'
import type { RequestView } from './request-view.ts'
import { type Step, writeScript } from './script.ts'
import { checkWeight, checkWindow } from './size-rules.ts'

/** What the client is answered: an error status, or steps to play. */
export type Generation =
  | { readonly type: 'refusal'; readonly refusal: Refusal; readonly words: FoundWords }
  | { readonly type: 'script'; readonly steps: Iterable<Step>; readonly words: FoundWords }

const NO_WORDS = findControlWords('')

/** Decides the answer to one generation request, in the order in which the upstream would. */
export function generate(
  bodyText: string,
  credential: Credential,
  memory: PromptMemory
): Generation {
  try {
    return decide(bodyText, credential, memory)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return refuse(improper('request-shape', 'the body nests too deeply'), NO_WORDS)
  }
}

function decide(bodyText: string, credential: Credential, memory: PromptMemory): Generation {
  const payload = parseJson(bodyText)
  if (payload === undefined)
    return refuse(improper('request-shape', 'the body is no JSON'), NO_WORDS)
  const profile = checkProfile(withBodyProfile(credential, payload))
  if (profile !== null) return refuse(profile, NO_WORDS)
  const oversize = checkWeight(bodyText)
  if (oversize !== null) return refuse(oversize, NO_WORDS)
  const view = checkRequest(payload)
  return 'status' in view ? refuse(view, NO_WORDS) : answer(view, credential, memory)
}

function answer(view: RequestView, credential: Credential, memory: PromptMemory): Generation {
  const { modelId, words: modelWords } = splitModelName(view.modelId)
  const content = promptOf(view)
  const prompt = `${content}\n${modelWords}`
  const words = findControlWords(prompt)
  const model = findModel(modelId)
  if (model === undefined) return refuse(FAULTS['invalid-model'], words)
  const fault = findFault(words, () => memory.note(prompt, credential.token))
  if (fault !== null) return refuse(fault, words)
  const inputTokens = countRequestTokens(view)
  const overflow = checkWindow(inputTokens, model.tokenLimits.maxInputTokens)
  if (overflow !== null) return refuse(overflow, words)
  const asked = { ...view, current: { ...view.current, content } }
  const steps = writeScript({ view: asked, words, model, inputTokens })
  return { type: 'script', steps, words }
}

function refuse(refusal: Refusal, words: FoundWords): Generation {
  return { type: 'refusal', refusal, words }
}

/** The body's `profileArn` counts before the header's. */
function withBodyProfile(credential: Credential, payload: unknown): Credential {
  if (typeof payload !== 'object' || payload === null || !('profileArn' in payload))
    return credential
  return { ...credential, profileArn: String(payload.profileArn) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
