import { readCapture, type RecordedCall } from '../../src/cli/replay/capture-reader.ts'
import { parseJson, parseJsonObject } from '../../src/shared/json.ts'
import { simulatedModel } from '../../src/simulator/models.ts'
import { countRequestTokens } from '../../src/simulator/tokens.ts'
import { splitModelName } from '../../src/simulator/words.ts'
import { improper, type StrictRefusal } from './refusals.ts'
import { checkRequest, checkWeight, checkWindow } from './request-rules.ts'

export interface Verdicts {
  readonly isOk: boolean
  readonly lines: readonly string[]
}

/** Judges what a capture sent upstream by the upstream's rules, but not signatures, profiles and control words. */
export async function judgeCapture(folder: string): Promise<Verdicts> {
  const { calls } = await readCapture(folder)
  const refusals = calls.map(judge)
  const lines = refusals.map((refusal, index) => {
    const what = calls[index]?.kind === 'mcp' ? 'web search' : 'generation'
    return `request ${index + 1} to the upstream (${what}): ${told(refusal)}`
  })
  return {
    isOk: refusals.every((refusal) => refusal === null),
    lines: lines.length === 0 ? ['The upstream was not called.'] : lines
  }
}

function told(refusal: StrictRefusal | null): string {
  if (refusal === null) return 'taken'
  const { status, message, rule, violation } = refusal
  const broken = rule === undefined ? '' : ` It breaks ${rule}: ${violation ?? ''}.`
  return `refused with ${status}: ${message}${broken}`
}

function judge({ kind, form, body }: RecordedCall): StrictRefusal | null {
  const text = body.toString()
  const payload = kind === 'mcp' ? parseJsonObject(text) : parseJson(text)
  if (payload === undefined || payload === null)
    return improper('request-shape', 'the body is no JSON')
  if (kind === 'mcp') return null
  const view = checkWeight(text) ?? checkRequest(payload, form)
  if ('status' in view) return view
  const { modelId } = splitModelName(view.modelId)
  const maxTokens = simulatedModel(modelId)?.tokenLimits.maxInputTokens ?? Infinity
  return checkWindow(countRequestTokens(view, modelId), maxTokens)
}
