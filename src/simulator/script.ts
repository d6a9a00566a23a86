import { createHash } from 'node:crypto'
import { encodeFrame } from '../frames/frame-encoder.ts'
import type { SimulatedModel } from './models.ts'
import { creditsOf } from './credits.ts'
import type { RequestView } from './request-view.ts'
import { divideText, lastWords, shapeDeltas, spokenAnswer } from './spoken-text.ts'
import type { Signer } from './reasoning.ts'
import { opaqueSteps, reasoningSteps, thinkingDeltas } from './thoughts.ts'
import { counted, countTokens, TokenCounter } from './tokens.ts'
import { offeredTools } from './tool-rules.ts'
import { findWishedCalls, type WishedCall } from './wished-calls.ts'
import type { FoundWords } from './words.ts'

export type Step =
  | { readonly type: 'event'; readonly name: string; readonly payload: object }
  | { readonly type: 'exception'; readonly name: string; readonly payload: object }
  | { readonly type: 'error'; readonly code: string; readonly message: string }
  /** Sent as they are. */
  | { readonly type: 'bytes'; readonly bytes: Buffer }
  | { readonly type: 'pause'; readonly ms: number }
  | { readonly type: 'stall' }
  | { readonly type: 'reset' }
  | { readonly type: 'fin' }

export interface ScriptInput {
  readonly view: RequestView
  readonly words: FoundWords
  readonly model: SimulatedModel
  /** Part of `inputTokens` known from earlier requests; default 0. */
  readonly cachedTokens?: number
  readonly inputTokens: number
  readonly sign: Signer
}

const LAST_STEPS: readonly Step['type'][] = ['exception', 'error', 'stall', 'reset', 'fin']

const CUT_FRAME = encodeFrame({ ':message-type': 'event' }, '.'.repeat(60)).subarray(0, 60)

/** Writes the answer, determined by the request alone (kiro-protocol §5.4). */
export function* writeScript(input: ScriptInput): Generator<Step> {
  for (const step of allSteps(input)) {
    yield step
    if (LAST_STEPS.includes(step.type)) return
  }
}

function* allSteps(input: ScriptInput): Generator<Step> {
  const { view, words } = input
  const { flags, numbers } = words
  if (numbers.first !== undefined) yield { type: 'pause', ms: numbers.first }
  if (flags.has('stall-first')) yield STALL
  if (flags.has('throttled-frame')) yield THROTTLED
  const calls = findWishedCalls(lastWords(view.current.content), offeredTools(view))
  const thought = new TokenCounter()
  const said = new TokenCounter()
  yield* reasoningSteps(input, thought)
  yield* textSteps(counted(spokenDeltas(input, calls), said), words)
  yield* toolSteps(calls, input)
  yield* opaqueSteps(input)
  if (flags.has('cut-frame')) yield { type: 'bytes', bytes: CUT_FRAME }
  if (flags.has('cut-frame') || flags.has('no-end')) return
  if (numbers.trailer !== undefined) yield { type: 'pause', ms: numbers.trailer }
  const called = calls.length === 0 ? 0 : countTokens(JSON.stringify(calls))
  yield* endSteps(input, { calls, outputTokens: thought.tokens + said.tokens + called })
}

function* spokenDeltas(input: ScriptInput, calls: readonly WishedCall[]): Generator<string> {
  yield* thinkingDeltas(input.view.current.content, input.words)
  yield* textDeltas(input, calls)
}

function textDeltas({ view, words }: ScriptInput, calls: readonly WishedCall[]): Iterable<string> {
  const { events, size } = words.numbers
  if (words.say !== null && events !== undefined) return divideText(words.say, events)
  const text = words.say ?? announce(calls) ?? spokenAnswer(view.current, view.history.length)
  return shapeDeltas(text, { events, size })
}

function announce(calls: readonly WishedCall[]): string | null {
  if (calls.length === 0) return null
  return `The simulator calls ${calls.map((call) => call.name).join(' and ')}.`
}

function* textSteps(deltas: Iterable<string>, words: FoundWords): Generator<Step> {
  const fault = MID_FAULTS.find(([word]) => words.flags.has(word))
  if (fault === undefined) return yield* toTextSteps(deltas)
  const all = [...deltas] // only then it is known where its middle is
  const half = Math.ceil(all.length / 2)
  yield* toTextSteps(all.slice(0, half))
  yield fault[1] // after it nothing follows
}

function* toTextSteps(deltas: Iterable<string>): Generator<Step> {
  for (const content of deltas) yield event('assistantResponseEvent', { content })
}

interface AnswerFacts {
  readonly calls: readonly WishedCall[]
  readonly outputTokens: number
}

function* endSteps(input: ScriptInput, facts: AnswerFacts): Generator<Step> {
  const { words, model, inputTokens, cachedTokens: cached = 0 } = input
  const totalTokens = inputTokens + facts.outputTokens
  const percentage = (totalTokens / model.tokenLimits.maxInputTokens) * 100
  const contextUsagePercentage = Math.round(percentage * 1e6) / 1e6
  const isCut = words.flags.has('truncated-tool') && facts.calls.length > 0
  // An interrupted call has no stop reason either.
  if (!isCut) yield* metadataSteps(input, facts)
  yield event('contextUsageEvent', { contextUsagePercentage })
  const usage = creditsOf(model, { input: inputTokens, cached, output: facts.outputTokens })
  yield event('meteringEvent', { unit: 'credit', unitPlural: 'credits', usage })
}

function* metadataSteps(input: ScriptInput, facts: AnswerFacts): Generator<Step> {
  const stopReason = stopReasonOf(input.words, facts.calls)
  if (!input.words.flags.has('token-usage')) return yield event('metadataEvent', { stopReason })
  const { inputTokens } = input
  const { outputTokens } = facts
  const cacheReadInputTokens = input.view.history.length === 0 ? 0 : Math.floor(inputTokens * 0.9)
  const uncachedInputTokens = inputTokens - cacheReadInputTokens
  yield event('metadataEvent', { tokenUsage: { uncachedInputTokens, cacheReadInputTokens } })
  const written = { outputTokens, totalTokens: inputTokens + outputTokens }
  yield event('metadataEvent', { tokenUsage: written, stopReason })
}

function stopReasonOf({ flags }: FoundWords, calls: readonly WishedCall[]): string {
  if (flags.has('context-full')) return 'MODEL_CONTEXT_WINDOW_EXCEEDED'
  if (flags.has('max-tokens')) return 'MAX_TOKENS'
  if (flags.has('filtered')) return 'CONTENT_FILTERED'
  return calls.length > 0 ? 'TOOL_USE' : 'END_TURN'
}

const INTERNAL = 'InternalServerException'
const BROKEN = 'Encountered an unexpected error when processing the request, please try again.'

const THROTTLED: Step = {
  type: 'exception',
  name: 'ThrottlingException',
  payload: { message: 'Too many requests, please wait before trying again.', reason: null }
}

const STALL = { type: 'stall' } as const satisfies Step

const MID_FAULTS = [
  ['exception-mid', { type: 'exception', name: INTERNAL, payload: { message: BROKEN } }],
  ['error-mid', { type: 'error', code: INTERNAL, message: BROKEN }],
  ['stall', STALL],
  ['reset', { type: 'reset' }],
  ['fin', { type: 'fin' }]
] as const satisfies readonly (readonly [string, Step])[]

/** Fragment lengths in rotation: some end inside a key, a number or an escape. */
const FRAGMENT_CHARS = [3, 1, 7, 2, 5, 11]
const LONG_ARGUMENTS = 400
const LONG_FACTOR = 20

/** Events of all tool calls in order (kiro-protocol §5.5). */
export function* toolSteps(
  calls: readonly WishedCall[],
  { view, words }: Pick<ScriptInput, 'view' | 'words'>
): Generator<Step> {
  for (const [index, call] of calls.entries()) {
    const head = { name: call.name, toolUseId: toolUseId(view, index) }
    const isCut = index === calls.length - 1 && words.flags.has('truncated-tool')
    const json = JSON.stringify(call.input)
    yield toolEvent(head)
    // Missing arguments are sent as no fragment, not as `{}`.
    const text = isCut ? firstHalf(json) : json === '{}' ? '' : json
    for (const input of fragmentsOf(text)) yield toolEvent({ ...head, input })
    if (!isCut) yield toolEvent({ ...head, stop: true })
  }
}

/** Cuts anywhere but inside a character, and always after the first backslash. */
export function fragmentsOf(text: string): string[] {
  const characters = Array.from(text)
  const factor = characters.length > LONG_ARGUMENTS ? LONG_FACTOR : 1
  const escape = characters.indexOf('\\')
  const fragments: string[] = []
  for (let at = 0, turn = 0; at < characters.length; turn++) {
    const length = (FRAGMENT_CHARS[turn % FRAGMENT_CHARS.length] ?? 1) * factor
    const crossesEscape = at <= escape && escape < at + length
    const end = crossesEscape ? escape + 1 : at + length
    fragments.push(characters.slice(at, end).join(''))
    at = end
  }
  return fragments
}

function firstHalf(text: string): string {
  return text.slice(0, Math.ceil(text.length / 2))
}

/** Id of a call: equal for equal requests, another in each turn. */
function toolUseId(view: RequestView, index: number): string {
  const seed = JSON.stringify([view.history.length, view.current.content, index])
  return `tooluse_${createHash('sha256').update(seed).digest('base64url').slice(0, 22)}`
}

function toolEvent(payload: object): Step {
  return event('toolUseEvent', payload)
}

function event(name: string, payload: object): Step {
  return { type: 'event', name, payload }
}
