import { encodeFrame, FrameEncoder } from '../../src/frames/frame-encoder.ts'
import {
  asJsonObject,
  type JsonObject,
  parseJsonObject,
  textMember
} from '../../src/shared/json.ts'
import { encodeStep } from '../../src/simulator/answer.ts'
import { badRequest, FAULTS } from '../../src/simulator/refusal.ts'
import type { RequestView } from '../../src/simulator/request-view.ts'
import { BROKEN, fragmentsOf, type FrameStep, type Step } from '../../src/simulator/script.ts'
import { piecesOf } from '../../src/simulator/spoken-text.ts'
import { TokenCounter } from '../../src/simulator/tokens.ts'
import type { ControlWords } from '../../src/simulator/words.ts'
import { type StrictRefusal, WRONG_FORM } from './refusals.ts'
import { refuseReplay } from './signatures.ts'

type Odd = ControlWords['numbers']
type EventStep = Extract<Step, { readonly type: 'event' }>

/** Refuses what the words say, as an account or a host would that lacks something. */
export function judgeOdd(view: RequestView, odd: Odd): StrictRefusal | null {
  if (odd.has(`refuse-${view.form}`)) return WRONG_FORM
  if (odd.has('signature-refused')) {
    const refusal = refuseReplay(view)
    if (refusal !== null) return refusal
  }
  if (odd.has('documents-refused') && hasDocuments(view)) return FAULTS.improper
  if (odd.has('fields-refused') && 'additionalModelRequestFields' in view.root)
    return badRequest('Invalid additionalModelRequestFields.', null)
  return null
}

function hasDocuments({ history, current }: RequestView): boolean {
  return [...history, current].some((turn) => turn.role === 'user' && turn.documents.length > 0)
}

export interface AskedFacts {
  readonly inputTokens: number
  readonly isFirst: boolean
}

/** Changes an answer as its words say. */
export function* alterAnswer(
  steps: Iterable<Step>,
  { numbers: odd }: ControlWords,
  facts: AskedFacts
): Generator<Step> {
  if (odd.has('throttled-frame')) return yield THROTTLED
  const ended = withOddEnd(withTokenUsage(steps, odd, facts), odd)
  const called = withOddCalls(withMidFaults(withUnknownEvents(ended, odd), odd), odd)
  for (const step of untilCapacity(called, odd)) {
    for (const part of odd.has('split-signature') ? withSplitSignature(step) : [step])
      yield odd.has('wrapped') ? wrapPayload(part) : part
    if (step.type === 'stall' || step.type === 'fin' || step === BROKEN_FRAME) return
  }
}

const THROTTLED: Step = {
  type: 'exception',
  name: 'ThrottlingException',
  payload: { message: 'Too many requests, please wait before trying again.', reason: null }
}

const BROKEN_FRAME = bytesStep(
  encodeFrame(
    { ':message-type': 'error', ':error-code': BROKEN.name, ':error-message': BROKEN.message },
    ''
  )
)

const CUT_FRAME = encodeFrame({ ':message-type': 'event' }, '.'.repeat(60)).subarray(0, 60)

/** Has what closes the answer come later, or cuts it off. */
function* withOddEnd(steps: Iterable<Step>, odd: Odd): Generator<Step> {
  let isEnd = false
  const trailerMs = odd.get('trailer')
  for (const step of steps) {
    if (!isEnd && (isEvent(step, 'metadataEvent') || isEvent(step, 'contextUsageEvent'))) {
      isEnd = true
      if (odd.has('cut-frame')) return yield bytesStep(CUT_FRAME)
      if (trailerMs !== undefined) yield { type: 'pause', ms: trailerMs }
    }
    yield step
  }
}

/** Tells tokens in the metadata, split over two frames. */
function* withTokenUsage(
  steps: Iterable<Step>,
  odd: Odd,
  { inputTokens, isFirst }: AskedFacts
): Generator<Step> {
  if (!odd.has('token-usage')) return yield* steps
  const output = new TokenCounter()
  for (const step of steps) {
    if (step.type === 'event' && step.name === 'metadataEvent') {
      const cacheReadInputTokens = isFirst ? 0 : Math.floor(inputTokens * 0.9)
      const uncachedInputTokens = inputTokens - cacheReadInputTokens
      yield event('metadataEvent', { tokenUsage: { uncachedInputTokens, cacheReadInputTokens } })
      const outputTokens = output.tokens
      const tokenUsage = { outputTokens, totalTokens: inputTokens + outputTokens }
      yield event('metadataEvent', { tokenUsage, ...step.payload })
      continue
    }
    if (step.type === 'event') output.add(textIn(step.payload))
    yield step
  }
}

/** Tells the percentage by another count of tokens, with three decimals as the upstream does. */
export function* withTruePercentage(
  steps: Iterable<Step>,
  {
    inputTokens,
    window,
    count
  }: {
    readonly inputTokens: number
    readonly window: number
    readonly count: (text: string) => number
  }
): Generator<Step> {
  let said = ''
  for (const step of steps) {
    if (step.type === 'event' && step.name === 'contextUsageEvent') {
      const percentage = ((inputTokens + count(said)) / window) * 100
      yield event('contextUsageEvent', {
        contextUsagePercentage: Math.round(percentage * 1e3) / 1e3
      })
      continue
    }
    if (step.type === 'event') said += textIn(step.payload)
    yield step
  }
}

function textIn(payload: object): string {
  const members = asJsonObject(payload) ?? {}
  return ['content', 'text', 'input'].map((name) => textMember(members, name) ?? '').join('')
}

/** Events that clients must ignore (kiro-protocol §5.3). */
const UNKNOWN_EVENTS: readonly Step[] = [
  event('messageMetadataEvent', { utteranceId: 'simulated' }),
  event('simulatedFutureEvent', { content: 'not for clients' }),
  event('followupPromptEvent', { followupPrompt: { content: 'never shown' } }),
  event('metricsEvent', { inputTokens: 1, outputTokens: 1 }),
  event('assistantResponseEvent', { content: '', future: { member: 1 } })
]

function* withUnknownEvents(steps: Iterable<Step>, odd: Odd): Generator<Step> {
  let isBegun = !odd.has('unknown-event')
  for (const step of steps) {
    if (!isBegun && step.type === 'event') {
      isBegun = true
      yield* UNKNOWN_EVENTS
    }
    yield step
  }
}

const STALL = { type: 'stall' } as const satisfies Step

function midFaults(odd: Odd): readonly Step[] {
  const [bytes, names, frames] = ['half-frame', 'header-names', 'empty-frames'].map((word) =>
    odd.get(word)
  )
  return [
    ...(odd.has('error-mid') ? [BROKEN_FRAME] : []),
    ...(odd.has('fin') ? [{ type: 'fin' } as const] : []),
    ...(odd.has('corrupt') ? [bytesStep(corruptFrame())] : []),
    ...(names === undefined ? [] : [bytesStep(namesFrame(names))]),
    ...(frames === undefined ? [] : [bytesStep(emptyFrames(frames))]),
    ...(bytes === undefined ? [] : [bytesStep(halfFrame(bytes)), STALL])
  ]
}

/** Inserts the faults after the first half of the text. */
function* withMidFaults(steps: Iterable<Step>, odd: Odd): Generator<Step> {
  const faults = midFaults(odd)
  if (faults.length === 0) return yield* steps
  let texts: Step[] | null = []
  const flush = function* (all: readonly Step[]): Generator<Step> {
    const half = Math.ceil(all.length / 2)
    yield* [...all.slice(0, half), ...faults, ...all.slice(half)]
  }
  for (const step of steps) {
    if (texts !== null && isEvent(step, 'assistantResponseEvent')) texts.push(step)
    else {
      if (texts !== null && isBehindText(step)) {
        yield* flush(texts)
        texts = null
      }
      yield step
    }
  }
  if (texts !== null) yield* flush(texts)
}

function isBehindText(step: Step): boolean {
  const names = ['toolUseEvent', 'metadataEvent', 'contextUsageEvent', 'meteringEvent']
  return names.some((name) => isEvent(step, name))
}

interface Call {
  readonly head: JsonObject
  readonly fragments: string[]
  isStopped: boolean
}

const CALL_WORDS = [
  'arguments',
  'piece',
  'capacity-mid',
  'tool-object',
  'tool-no-stop',
  'ghost-tool'
]

function* withOddCalls(steps: Iterable<Step>, odd: Odd): Generator<Step> {
  if (!CALL_WORDS.some((word) => odd.has(word))) return yield* steps
  let call: Call | null = null
  for (const step of steps) {
    const { input, stop, ...head } = isEvent(step, 'toolUseEvent')
      ? (asJsonObject(step.payload) ?? {})
      : {}
    if (call !== null && typeof input === 'string') call.fragments.push(input)
    else if (call !== null && stop === true) call.isStopped = true
    else {
      const isNext: boolean = isEvent(step, 'toolUseEvent')
      if (call !== null) yield* callSteps(call, { isLast: !isNext, odd })
      call = isNext ? { head, fragments: [], isStopped: false } : null
      if (!isNext) yield step
    }
  }
  if (call !== null) yield* callSteps(call, { isLast: true, odd })
}

function* callSteps(
  { head, fragments, isStopped }: Call,
  { isLast, odd }: { readonly isLast: boolean; readonly odd: Odd }
): Generator<Step> {
  const tool = (more: object): Step => event('toolUseEvent', { ...head, ...more })
  const text = fragments.join('')
  const isCut = isLast && odd.has('capacity-mid')
  yield tool({})
  const json = argumentsJson(text, odd.get('arguments'))
  if (odd.has('tool-object')) yield tool({ input: parseJsonObject([...json].join('')) ?? {} })
  else {
    const parts = isCut ? [text.slice(0, Math.ceil(text.length / 2))] : json
    const piece = odd.get('piece')
    const cut = piece === undefined ? fragmentsOf([...parts].join('')) : piecesOfParts(parts, piece)
    for (const input of cut) yield tool({ input })
  }
  if (isCut || !isStopped || odd.has('tool-no-stop')) return
  yield tool({ stop: true })
  // Once more, without arguments: clients must not run it again.
  if (odd.has('ghost-tool')) yield* [tool({}), tool({ input: '{}' }), tool({ stop: true })]
}

/** A capture shows the words, but not the kind of the frame (kiro-protocol §5.11). */
const CAPACITY = event('modelStatusEvent', {
  reason: 'MODEL_TEMPORARILY_UNAVAILABLE',
  message: 'The model is temporarily unavailable.'
})

function* untilCapacity(steps: Iterable<Step>, odd: Odd): Generator<Step> {
  for (const step of steps) {
    if (odd.has('capacity-mid') && isBehindText(step) && !isEvent(step, 'toolUseEvent'))
      return yield CAPACITY
    yield step
  }
}

function withSplitSignature(step: Step): readonly Step[] {
  const { signature, text } = isEvent(step, 'reasoningContentEvent')
    ? (asJsonObject(step.payload) ?? {})
    : {}
  if (typeof signature !== 'string' || text !== undefined) return [step]
  const third = Math.ceil(signature.length / 3)
  const thirds = [
    signature.slice(0, third),
    signature.slice(third, 2 * third),
    signature.slice(2 * third)
  ]
  return thirds.map((one) => event('reasoningContentEvent', { signature: one }))
}

/** Wraps the payload in an object with the event's name, as some captures show it (§5.2). */
function wrapPayload(step: Step): Step {
  return step.type === 'event' ? { ...step, payload: { [step.name]: step.payload } } : step
}

function isEvent(step: Step, name: string): step is EventStep {
  return step.type === 'event' && step.name === name
}

function event(name: string, payload: object): Step {
  return { type: 'event', name, payload }
}

function bytesStep(bytes: Buffer): Step {
  return { type: 'bytes', bytes }
}

function textFrame(content: string): Buffer {
  const headers = {
    ':message-type': 'event',
    ':event-type': 'assistantResponseEvent',
    ':content-type': 'application/json'
  }
  return encodeFrame(headers, JSON.stringify({ content }))
}

function corruptFrame(): Buffer {
  const frame = textFrame('This frame is damaged.')
  frame.writeUInt32BE(~frame.readUInt32BE(frame.length - 4) >>> 0, frame.length - 4)
  return frame
}

function halfFrame(bytes: number): Buffer {
  return textFrame('.'.repeat(bytes)).subarray(0, bytes)
}

function emptyFrames(count: number): Buffer {
  const empty = encodeFrame({}, '')
  return Buffer.alloc(empty.length * count, empty)
}

const NAME_CHARS = 4

/** Each header is only a name: `true` has no bytes (kiro-protocol §5.1). */
function namesFrame(count: number): Buffer {
  const headers = Buffer.alloc(count * (NAME_CHARS + 2))
  for (let index = 0; index < count; index++) {
    const at = index * (NAME_CHARS + 2)
    headers.writeUInt8(NAME_CHARS, at)
    headers.write(index.toString(36).padStart(NAME_CHARS, '0'), at + 1, 'latin1')
  }
  return new FrameEncoder(headers).encode('')
}

/** Numbered lines with quotes, backslashes and wide characters, which reveal lost or swapped parts. */
export function fillerText(chars: number): string {
  return [...fillerLines(chars)].join('')
}

function* fillerLines(chars: number): Generator<string> {
  for (let index = 0, missing = chars; missing > 0; index++) {
    const line = `${index}: "a\\b" é 世 😀\n`
    yield line.slice(0, missing).replace(/[\ud800-\udbff]$/, '.')
    missing -= line.length
  }
}

/** Arguments whose last text has so many characters, made while they are sent; any others as they are. */
function* argumentsJson(json: string, chars: number | undefined): Generator<string> {
  const input = parseJsonObject(json) ?? {}
  const name = Object.keys(input).findLast((key) => typeof input[key] === 'string')
  if (chars === undefined || name === undefined) return yield json
  let before = '{'
  for (const [key, value] of Object.entries(input)) {
    yield `${before}${JSON.stringify(key)}:`
    if (key === name) yield* quoted(fillerLines(chars))
    else yield JSON.stringify(value)
    before = ','
  }
  yield '}'
}

function* quoted(parts: Iterable<string>): Generator<string> {
  yield '"'
  for (const part of parts) yield JSON.stringify(part).slice(1, -1)
  yield '"'
}

/** Pieces of so many characters of a text that comes in parts. */
export function* piecesOfParts(parts: Iterable<string>, size: number): Generator<string> {
  let rest = ''
  for (const part of parts) {
    rest += part
    if (rest.length <= 2 * size) continue // may be less than a piece and a character
    const pieces = [...piecesOf(rest, size)]
    rest = pieces.pop() ?? ''
    yield* pieces
  }
  yield* piecesOf(rest, size)
}

/** Sends frames in pieces of so many bytes, cut anywhere. */
export function* inPieces(
  steps: Iterable<Step>,
  { size, gapMs }: { readonly size: number; readonly gapMs: number }
): Generator<Step> {
  for (const step of steps) {
    if (!isFrame(step)) yield step
    else {
      const bytes = encodeStep(step)
      for (let at = 0; at < bytes.length; at += size)
        yield* [bytesStep(bytes.subarray(at, at + size)), { type: 'pause', ms: 0 } as const]
      if (gapMs > 0) yield { type: 'pause', ms: gapMs }
    }
  }
}

function isFrame(step: Step): step is FrameStep {
  return step.type === 'event' || step.type === 'exception' || step.type === 'bytes'
}
