import { createHash } from 'node:crypto'
import { instructedSchema } from '../kiro/conversation/json-instruction.ts'
import { creditsOf } from './credits.ts'
import type { SimulatedModel } from './models.ts'
import { offeredTools, type RequestView } from './request-view.ts'
import { smallestSample } from './sample-json.ts'
import { divideText, lastWordsOf, shapeDeltas, spokenAnswer } from './spoken-text.ts'
import { taggedDeltas, type Thinking, thinkingOf, thoughtDeltas } from './thoughts.ts'
import { counted, countTokens, TokenCounter } from './tokens.ts'
import { findWishedCalls } from './wished-calls.ts'
import type { ControlWords } from './words.ts'

export type FrameStep =
  | { readonly type: 'event'; readonly name: string; readonly payload: object }
  | { readonly type: 'exception'; readonly name: string; readonly payload: object }
  /** Sent as they are. */
  | { readonly type: 'bytes'; readonly bytes: Buffer }

export type Step =
  | FrameStep
  | { readonly type: 'pause'; readonly ms: number }
  | { readonly type: 'stall' }
  | { readonly type: 'reset' }
  | { readonly type: 'fin' }

export type Signer = (text: string) => string

interface ScriptFacts {
  readonly words: ControlWords
  readonly model: SimulatedModel
  readonly inputTokens: number
  /** Part of `inputTokens` known from earlier requests. */
  readonly cachedTokens: number
  readonly sign: Signer
}

interface Plan extends ScriptFacts {
  readonly text: string
  /** Nothing may be added to the text. */
  readonly isWhole: boolean
  readonly thinking: Thinking
  readonly calls: readonly SimulatedCall[]
  /** Tokens of all calls. */
  readonly called: number
}

export interface SimulatedCall {
  readonly name: string
  /** JSON */
  readonly input: string
  readonly toolUseId: string
}

/**
 * Writes the answer, determined by the request alone (kiro-protocol §5.4). Keeps nothing of the request while it is played.
 * @throws {RangeError} for arguments that are nested too deeply to be written
 */
export function writeScript(view: RequestView, facts: ScriptFacts): Generator<Step> {
  const wished = findWishedCalls(lastWordsOf(view), offeredTools(view))
  const calls = wished.map(({ name, input }, index) => ({
    name,
    input: JSON.stringify(input),
    toolUseId: idOfCall(view, index)
  }))
  const called = wished.length === 0 ? 0 : countTokens(JSON.stringify(wished))
  const whole = facts.words.say ?? (calls.length === 0 ? jsonAnswer(view) : null)
  const text = whole ?? announce(calls) ?? spokenAnswer(view.current, view.history.length)
  const isWhole = whole !== null
  return allSteps({ ...facts, text, isWhole, calls, called, thinking: thinkingOf(view) })
}

function announce(calls: readonly SimulatedCall[]): string | null {
  if (calls.length === 0) return null
  return `The simulator calls ${calls.map((call) => call.name).join(' and ')}.`
}

/** The gateway asks for JSON in the system text, which is in the first turn. */
function jsonAnswer({ history, current }: RequestView): string | null {
  const schema = instructedSchema((history[0] ?? current).content)
  if (schema === null) return null
  if (Object.keys(schema).length > 0) return JSON.stringify(smallestSample(schema))
  return JSON.stringify({ answer: spokenAnswer(current, history.length) })
}

function* allSteps(plan: Plan): Generator<Step> {
  const { words, calls, called, thinking, sign } = plan
  const { numbers } = words
  const firstMs = numbers.get('first')
  if (firstMs !== undefined) yield { type: 'pause', ms: firstMs }
  if (numbers.has('stall-first')) return yield STALL
  const thought = new TokenCounter()
  const said = new TokenCounter()
  yield* reasoningSteps(plan, thought)
  const deltas = counted(spokenDeltas(plan), said)
  const fault = MID_FAULTS.find(([word]) => numbers.has(word))
  if (fault !== undefined) {
    const most = MOST_BEFORE_FAULT * 2
    const all = Array.from(Iterator.from(deltas).take(most)) // only then it is known where its middle is
    yield* textSteps(all.slice(0, Math.ceil(all.length / 2)))
    return yield fault[1]
  }
  yield* textSteps(deltas)
  const isCut = numbers.has('truncated-tool') && calls.length > 0
  for (const [index, call] of calls.entries())
    yield* callSteps(call, isCut && index === calls.length - 1)
  // GPT's opaque reasoning, after everything else (§5.3).
  if (thinking.family === 'gpt') yield reasoning({ text: '...', signature: sign('...') })
  if (numbers.has('no-end')) return
  // An interrupted call has no stop reason.
  if (!isCut) yield event('metadataEvent', { stopReason: stopReasonOf(plan) })
  yield* endSteps(plan, thought.tokens + said.tokens + called)
}

function* reasoningSteps(plan: Plan, counter: TokenCounter): Generator<Step> {
  const { thinking, words, sign } = plan
  if (thinking.family === 'none') return
  let thought = ''
  if (thinking.isShown) {
    for (const text of counted(thoughtDeltas(thinking.thought, words), counter)) {
      thought += text
      yield reasoning({ text })
    }
  }
  if (thinking.family === 'claude') yield reasoning({ signature: sign(thought) })
}

function* spokenDeltas({ text, isWhole, thinking, words }: Plan): Generator<string> {
  yield* taggedDeltas(thinking, words)
  const [events, size] = [words.numbers.get('events'), words.numbers.get('size')]
  if (isWhole && events !== undefined) yield* divideText(text, events)
  else yield* shapeDeltas(text, { events, size })
}

function* textSteps(deltas: Iterable<string>): Generator<Step> {
  for (const content of deltas) yield event('assistantResponseEvent', { content })
}

function* endSteps(plan: Plan, outputTokens: number): Generator<Step> {
  const { model, inputTokens, cachedTokens: cached } = plan
  const percentage = ((inputTokens + outputTokens) / model.tokenLimits.maxInputTokens) * 100
  const contextUsagePercentage = Math.round(percentage * 1e6) / 1e6
  yield event('contextUsageEvent', { contextUsagePercentage })
  const usage = creditsOf(model, { input: inputTokens, cached, output: outputTokens })
  yield event('meteringEvent', { unit: 'credit', unitPlural: 'credits', usage })
}

function stopReasonOf({ words: { numbers }, calls }: Plan): string {
  if (numbers.has('context-full')) return 'MODEL_CONTEXT_WINDOW_EXCEEDED'
  if (numbers.has('max-tokens')) return 'MAX_TOKENS'
  if (numbers.has('filtered')) return 'CONTENT_FILTERED'
  return calls.length > 0 ? 'TOOL_USE' : 'END_TURN'
}

/** Events before a fault in the middle of an answer. */
const MOST_BEFORE_FAULT = 1_000

const STALL = { type: 'stall' } as const satisfies Step

export const BROKEN = {
  name: 'InternalServerException',
  message: 'Encountered an unexpected error when processing the request, please try again.'
}

const MID_FAULTS = [
  ['exception-mid', { type: 'exception', name: BROKEN.name, payload: { message: BROKEN.message } }],
  ['stall', STALL],
  ['reset', { type: 'reset' }]
] as const satisfies readonly (readonly [string, Step])[]

/** Fragment lengths in rotation: some end inside a key, a number or an escape. */
const FRAGMENT_CHARS = [3, 1, 7, 2, 5, 11]
const LONG_ARGUMENTS = 400
const LONG_FACTOR = 20

/** Events of a tool call (kiro-protocol §5.5). */
export function* callSteps(call: SimulatedCall, isCut: boolean): Generator<Step> {
  const { name, toolUseId, input: json } = call
  yield toolEvent({ name, toolUseId })
  // Missing arguments are sent as no fragment, not as `{}`.
  const text = isCut ? json.slice(0, Math.ceil(json.length / 2)) : json === '{}' ? '' : json
  for (const fragment of fragmentsOf(text)) yield toolEvent({ name, toolUseId, input: fragment })
  if (!isCut) yield toolEvent({ name, toolUseId, stop: true })
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

/** Id of a call: equal for equal requests, another in each turn. */
function idOfCall(view: RequestView, index: number): string {
  const seed = JSON.stringify([view.history.length, view.current.content, index])
  return `tooluse_${createHash('sha256').update(seed).digest('base64url').slice(0, 22)}`
}

function toolEvent(payload: object): Step {
  return event('toolUseEvent', payload)
}

function reasoning(payload: object): Step {
  return event('reasoningContentEvent', payload)
}

function event(name: string, payload: object): Step {
  return { type: 'event', name, payload }
}
