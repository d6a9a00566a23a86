import assert from 'node:assert/strict'
import t from 'tap'
import { convertBody } from '../../../src/dialects/dialect.ts'
import {
  readClientEvent,
  toRequestBody
} from '../../../src/dialects/openai-responses/client-event.ts'
import { toStoredConversation } from '../../../src/dialects/openai-responses/earlier-items.ts'
import type { ConvertedRequest, RequestOptions } from '../../../src/dialects/request/to-upstream.ts'
import { UpstreamLimits } from '../../../src/kiro/rules/rules.ts'
import { sealReasoning } from '../../../src/kiro/conversation/signed-reasoning.ts'
import {
  copyTools,
  type KeptTurns,
  nextTurns,
  withoutTools
} from '../../../src/server/turn/kept-turns.ts'
import * as fc from '../../helper/fast-check.ts'
import {
  type GrownConversation,
  grownConversations,
  requestAt
} from '../../helper/grown-conversations.ts'
import { isNightly } from '../../helper/nightly.ts'
import { simulatorOptions } from '../../helper/request-options.ts'

/**
 * A connection's conversation is converted from where it has settled. What comes of it is, byte for byte, what the whole
 * conversation becomes.
 */

t.setTimeout(600_000)

const PREVIOUS = 'resp_before'
/** Shorter payloads are written in one piece, and nothing of them is kept. */
const INSTRUCTIONS = 'Be terse. '.repeat(2_000)
/** So long that only samples of what follows are counted. */
const LONG_INSTRUCTIONS = 'Be terse, Ärger 12.5! '.repeat(3_100)
const SIGNATURE = 'QUJD'.repeat(20)

interface Changes {
  readonly isLong: boolean
  /** In these turns reasoning can go back, of this model or another one. */
  readonly sealed: { readonly model: string; readonly from: number; readonly to: number } | null
  /** From this turn on the request has other settings. */
  readonly other: { readonly from: number; readonly settings: object } | null
  /** From this turn on its tools are others. */
  readonly tools: { readonly from: number; readonly change: (tools: Tools) => Tools } | null
  /** From this turn on the gateway has other settings. */
  readonly gateway: { readonly from: number; readonly options: Partial<RequestOptions> } | null
}

type Tools = readonly { readonly type: string; readonly name: string }[]

const DESCRIPTION = 'Does "this" and that.\n'.repeat(20)
const MORE: Tools = [
  { type: 'web_search', name: 'web_search' },
  custom('patch'),
  namespace('ns', [tool('f'), tool('h')])
]

function custom(name: string) {
  return { type: 'custom', name, description: DESCRIPTION }
}

function namespace(name: string, tools: Tools) {
  return { type: 'namespace', name, description: 'N.', tools }
}

function tool(name: string) {
  const size = { type: 'number', default: 1 }
  const parameters = { type: 'object', properties: { 'größe "1"': size }, title: 'T' }
  return { type: 'function', name, description: DESCRIPTION, parameters }
}

function callOf(id: string) {
  return { type: 'function_call', call_id: id, name: 'f', arguments: '{}' }
}

function outputOf(id: string) {
  return { type: 'function_call_output', call_id: id, output: 'Done.' }
}

const toolChanges = fc.constantFrom<((tools: Tools) => Tools)[]>(
  (tools) => tools.map((one) => ({ ...one, description: DESCRIPTION })),
  (tools) => tools.toReversed(),
  (tools) => [...tools, ...MORE],
  (tools) => [...tools, ...tools],
  (tools) => tools.slice(1),
  () => []
)

const changes: fc.Arbitrary<Changes> = fc.record({
  isLong: fc.boolean(),
  sealed: fc.option(
    fc.record({
      model: fc.constantFrom('claude-opus-4.8', 'gpt-5.6-sol'),
      from: fc.constantFrom(0, 0, 3),
      to: fc.constantFrom(4, 8, 99)
    })
  ),
  tools: fc.option(fc.record({ from: fc.constantFrom(0, 0, 3, 7), change: toolChanges })),
  gateway: fc.option(
    fc.record({
      from: fc.nat({ max: 12 }),
      options: fc.constantFrom<Partial<RequestOptions>[]>(
        { toolDescriptionMaxLength: 100 },
        { toolMaxCount: 2 },
        { servesWebSearch: false },
        { fakeReasoning: { isEnabled: false, maxTokens: 4000, budgetCap: 10_000 } },
        { owner: 'another' },
        { aliases: { 'claude-opus-4.8': 'claude-haiku-4.5' } }
      )
    }),
    { freq: 3 }
  ),
  other: fc.option(
    fc.record({
      from: fc.nat({ max: 12 }),
      settings: fc.constantFrom(
        { instructions: `${INSTRUCTIONS} And kind.` },
        { tools: [] },
        { model: 'claude-haiku-4.5' },
        { prompt_cache_key: 'another' },
        { reasoning: { effort: 'low' } },
        { tool_choice: 'required' },
        { text: { format: { type: 'json_object' } } }
      )
    })
  )
})

/** Most are as agents have them, with ids of their own for each call. */
const conversations = fc
  .tuple(grownConversations, fc.nat({ max: 5 }), fc.nat({ max: 3 }), fc.nat({ max: 4 }))
  .map(([conversation, wild, more, images]) => {
    const turns = conversation.turns.map((turn) => {
      return images === 0 ? { ...turn, hasImage: true } : turn
    })
    const longer = { ...conversation, turns: Array.from({ length: more + 1 }, () => turns).flat() }
    return wild === 0 ? longer : tame(longer)
  })

function tame(conversation: GrownConversation): GrownConversation {
  const turns = conversation.turns.map(({ answer, words, note, ...turn }, number) => {
    const calls = answer.calls.map((call, index) => {
      return { ...call, arg: call.arg.toWellFormed(), id: `call_${number}_${index}` }
    })
    const told = note === null ? null : { ...note, text: note.text.toWellFormed() }
    const said = { ...answer, text: answer.text.toWellFormed(), calls }
    return { ...turn, words: words.map((one) => one.toWellFormed()), note: told, answer: said }
  })
  return { ...conversation, turns }
}

/** Conversations of each form. */
const RUNS = isNightly ? 200 : 40

let wentOn = 0
let askedForWhole = 0
let wentOnWithTools = 0

for (const form of ['path', 'target'] as const) {
  t.test(`new turns come to the bytes of the whole conversation, ${form} form`, async (t) => {
    const options = simulatorOptions({ form, owner: 'someone' })
    const property = fc.property(conversations, changes, (conversation, changed) => {
      assertSame(conversation, changed, options)
    })
    ;[wentOn, askedForWhole, wentOnWithTools] = [0, 0, 0]
    fc.assert(property, { numRuns: RUNS })
    t.comment(`${wentOn} turns went on, ${askedForWhole} needed the whole`)
    t.comment(`${wentOnWithTools} had their tools converted before`)
    t.ok(wentOn > 2.5 * RUNS, 'enough turns have gone on from others')
    t.ok(wentOnWithTools > 1.25 * RUNS, 'enough of them with tools that were converted before')
  })
}

t.test('turns behind a heavy conversation come to its bytes and its weight', async (t) => {
  const options = simulatorOptions({ owner: 'someone' })
  const { payloadWeight } = UpstreamLimits
  const instructions = 'Ä'.repeat(Math.floor((payloadWeight * 0.82) / 8))
  const words = `Größer als "zuvor" 🙂. ${'Text. '.repeat(2_000)}`
  const answer = { role: 'assistant', content: words }
  const ask = { role: 'user', content: words }
  const parts = [[ask], [answer]].map(partOf)
  let turns: KeptTurns | null = null
  const weighed: number[] = []
  for (let turn = 0; turn < 6; turn++) {
    const settings = { model: 'claude-opus-4.8', previous_response_id: PREVIOUS, instructions }
    const request = toBody({ ...settings, input: [ask] })
    const answers = [toStoredConversation(PREVIOUS, parts)]
    const whole = convertBody('openai-responses', request.body, { ...options, answers })
    if (whole.type !== 'converted') throw new Error(whole.type)
    if (turns !== null) {
      const made = behind({ request, parts, turns, options })
      if (made.type !== 'converted') throw new Error(made.type)
      t.ok(Buffer.from(made.payload).equals(Buffer.from(whole.payload)))
      t.strictSame(made.borderline, whole.borderline)
      weighed.push(made.borderline.filter(({ rule }) => rule === 'payload-weight').length)
      turns = nextTurns(made, turns, null)
      t.type(turns?.text.weight, 'number')
    } else turns = nextTurns(whole, null, null)
    parts.push(partOf([ask]), partOf([answer]))
  }
  t.strictSame([weighed[0], weighed.at(-1)], [0, 1], 'it has come near the limit on the way')
})

t.test('documents that went as text are converted again once they may be sent', async (t) => {
  const options = simulatorOptions({ owner: 'someone', sendsDocuments: false })
  const table = Buffer.from('a,b\n1,2\n').toString('base64')
  const file = { filename: 'a.csv', file_data: `data:text/csv;base64,${table}` }
  const look = [
    { type: 'input_text', text: 'Look.' },
    { type: 'input_file', ...file }
  ]
  const answer = { role: 'assistant', content: 'Seen.' }
  const one = { role: 'user', content: 'One.' }
  const parts = [[{ role: 'user', content: look }], [answer], [one], [answer]].map(partOf)
  const ask = (settings: Partial<RequestOptions>, before: Partial<RequestOptions> = {}) => {
    const input = [{ role: 'user', content: 'And now?' }]
    const settled = { previous_response_id: PREVIOUS, instructions: INSTRUCTIONS, input }
    const request = toBody({ model: 'claude-opus-4.8', ...settled })
    const answers = [toStoredConversation(PREVIOUS, parts)]
    return convertBody('openai-responses', request.body, {
      ...options,
      answers,
      ...before,
      ...settings
    })
  }
  const first = ask({})
  if (first.type !== 'converted') throw new Error(first.type)
  const turns = nextTurns(first, null, null)
  if (turns === null) throw new Error('nothing has settled')
  parts.push(partOf([{ role: 'user', content: 'And now?' }]), partOf([answer]))
  const { settled, text, pieces } = turns
  const news = {
    answers: [toStoredConversation(PREVIOUS, parts.slice(turns.parts))],
    before: { settled, text, pieces, bytes: 1_000 }
  }
  t.equal(ask({}, news).type, 'converted')
  t.equal(ask({ sendsDocuments: true }, news).type, 'whole-needed')
})

t.test('an output whose call has settled is looked at with the whole conversation', async (t) => {
  const options = simulatorOptions({ owner: 'someone' })
  const answer = { role: 'assistant', content: 'Seen.' }
  const one = { role: 'user', content: 'One.' }
  const parts = [[one], [callOf('call_1'), callOf('call_2')], [outputOf('call_1')], [answer]].map(
    partOf
  )
  const ask = (input: readonly object[], before: Partial<RequestOptions> = {}) => {
    const settings = { instructions: INSTRUCTIONS, tools: [tool('f')] }
    const said = { model: 'claude-opus-4.8', previous_response_id: PREVIOUS, ...settings, input }
    const answers = [toStoredConversation(PREVIOUS, parts)]
    return convertBody('openai-responses', toBody(said).body, { ...options, answers, ...before })
  }
  const first = ask([one])
  if (first.type !== 'converted') throw new Error(first.type)
  const turns = nextTurns(first, null, null)
  if (turns === null) throw new Error('nothing has settled')
  parts.push(partOf([one]), partOf([answer]))
  const { settled, text, pieces } = turns
  const news = {
    answers: [toStoredConversation(PREVIOUS, parts.slice(turns.parts))],
    before: { settled, text, pieces, bytes: 1_000 }
  }
  t.equal(ask([one], news).type, 'converted')
  for (const id of ['call_1', 'call_2']) {
    t.equal(ask([outputOf(id)]).type, 'converted')
    t.equal(ask([outputOf(id)], news).type, 'whole-needed')
  }
  t.throws(() => ask([outputOf('call_3')]), /No tool call found/)
})

function assertSame(
  conversation: GrownConversation,
  changed: Changes,
  settings: RequestOptions
): void {
  const parts: Buffer[] = []
  let turns: KeptTurns | null = null
  for (const number of conversation.turns.keys()) {
    const { answer, news, body } = requestOf(conversation, number, changed)
    const { gateway } = changed
    const isChanged = gateway !== null && number >= gateway.from
    const options = { ...settings, ...(isChanged && gateway.options) }
    if (number > 0) parts.push(partOf(answer))
    const request = toBody(body)
    const whole = convertBody('openai-responses', request.body, {
      ...options,
      answers: number === 0 ? [] : [toStoredConversation(PREVIOUS, parts)]
    })
    if (whole.type !== 'converted') throw new Error(whole.type)
    const next: KeptTurns | null =
      turns === null ? null : goOn(request, parts, turns, options, whole)
    turns = next ?? nextTurns(whole, null, copyTools(request))
    assertOwnMemory(turns)
    parts.push(partOf(news))
  }
}

function assertOwnMemory(turns: KeptTurns | null): void {
  const bytes = turns?.tools?.settled.text.bytes
  assert.equal(bytes?.buffer.byteLength, bytes?.byteLength, 'kept tools hold memory of others')
}

/** The turns that the next request goes on from; `null` if the whole was needed. */
function goOn(
  request: ReturnType<typeof toBody>,
  parts: readonly Buffer[],
  turns: KeptTurns,
  options: RequestOptions,
  whole: ConvertedRequest
): KeptTurns | null {
  const light = withoutTools(request, turns)
  const made = behind({ request, parts, turns, options, light })
  if (made.type !== 'converted') {
    askedForWhole += 1
    return null
  }
  wentOn += 1
  if (light !== null) wentOnWithTools += 1
  assert.equal(Buffer.from(made.payload).toString(), Buffer.from(whole.payload).toString())
  assert.deepEqual(planOf(made), planOf(whole))
  return nextTurns(made, turns, light === null ? copyTools(request) : null)
}

/** Converts what follows the turns. `light`: without the tools that were converted with them. */
function behind({
  request,
  parts,
  turns,
  options,
  light = null
}: {
  readonly request: ReturnType<typeof toBody>
  readonly parts: readonly Buffer[]
  readonly turns: KeptTurns
  readonly options: RequestOptions
  readonly light?: ReturnType<typeof withoutTools>
}) {
  const { settled, text, pieces } = turns
  const bytes = parts.reduce((sum, part) => sum + part.length, 0)
  return convertBody('openai-responses', light?.body ?? request.body, {
    ...options,
    answers: [toStoredConversation(PREVIOUS, parts.slice(turns.parts))],
    before: { settled, text, pieces, bytes, tools: light?.tools }
  })
}

/** Body as a connection makes it of a client's message. */
function toBody(body: object) {
  const event = readClientEvent(Buffer.from(JSON.stringify({ type: 'response.create', ...body })))
  if (event === null) throw new Error('it was no event')
  return toRequestBody(event)
}

/** Repairs and rules are sets. */
function planOf({ plan }: ConvertedRequest): object {
  const { repairs, borderline, ...rest } = plan
  return { ...rest, repairs: repairs.toSorted(), borderline: borderline.toSorted() }
}

function partOf(items: readonly object[]): Buffer {
  return Buffer.from(JSON.stringify(items).slice(1, -1))
}

/** The answer before a request, its own items, and all that it is sent with. */
function requestOf(conversation: GrownConversation, number: number, changed: Changes) {
  const { input, ...settings } = asked(conversation, number)
  const before = number === 0 ? [] : asked(conversation, number - 1).input
  const added = input.slice(before.length)
  const { answer: said } = conversation.turns[number - 1] ?? {}
  const count = said === undefined ? 0 : Number(said.isThought) + 1 + said.calls.length
  const { isLong, sealed, other, tools } = changed
  const isSealed = sealed !== null && number > sealed.from && number <= sealed.to
  const answer = added.slice(0, count).map((item) => {
    return isSealed && item.type === 'reasoning' ? { ...item, ...seal(sealed.model) } : item
  })
  const news = added.slice(count)
  const body = {
    ...settings,
    tools: tools !== null && number >= tools.from ? tools.change(settings.tools) : settings.tools,
    instructions: (isLong ? LONG_INSTRUCTIONS : INSTRUCTIONS) + settings.instructions,
    ...(other !== null && number >= other.from && other.settings),
    stream: true,
    ...(number > 0 && { previous_response_id: PREVIOUS }),
    input: news
  }
  return { answer, news, body }
}

function seal(model: string): object {
  const content = { reasoningText: { text: 'hm', signature: SIGNATURE } }
  return { encrypted_content: sealReasoning(model, content) }
}

interface Asked {
  readonly instructions: string
  readonly tools: Tools
  readonly input: readonly { readonly type?: string }[]
}

function asked(conversation: GrownConversation, number: number): Asked {
  const request: object = requestAt('openai-responses', conversation, number)
  return request as Asked
}
