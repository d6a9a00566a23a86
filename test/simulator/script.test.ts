import t from 'tap'
import { jsonInstruction } from '../../src/kiro/conversation/json-instruction.ts'
import { simulatedModel } from '../../src/simulator/models.ts'
import { checkRequest } from '../strict-simulator/request-rules.ts'
import { type Step, writeScript } from '../../src/simulator/script.ts'
import { findControlWords } from '../../src/simulator/words.ts'
import { alterAnswer } from '../strict-simulator/odd-answers.ts'
import { upstreamRequest, upstreamTool } from '../helper/simulator-request.ts'

type Json = Record<string, unknown>

const f = upstreamTool('f', { type: 'object', properties: { a: { type: 'string' } } })

const sign = (text: string) => Buffer.from(`signed ${text}`).toString('base64')

t.test('writeScript()', async (t) => {
  t.test('ends text with stop reason, context usage and metering', async (t) => {
    t.same(namesOf(script('hello sim:events=2')), [
      'assistantResponseEvent',
      'assistantResponseEvent',
      'metadataEvent',
      'contextUsageEvent',
      'meteringEvent'
    ])
    t.match(script('hello').at(-3), { payload: { stopReason: 'END_TURN' } })
  })

  t.test('says that it is the simulator and quotes what the person wrote', async (t) => {
    const text = textOf(script('You are a system prompt.\n\nWhat is up? sim:gap=0'))
    t.match(text, /simulator/)
    t.match(text, /"What is up\?"/)
    t.notMatch(text, /system prompt/)
  })

  t.test('says exactly what sim:say asks for', async (t) => {
    const wish = 'sim:say="one 🎉 two\\n"'
    t.equal(textOf(script(wish)), 'one 🎉 two\n')
    t.same(textsOf(script(`${wish} sim:events=3`)), ['one ', '🎉 tw', 'o\n'])
    t.same(textsOf(script(`${wish} sim:size=6`)), ['one 🎉 ', 'two\n'])
    t.same(textsOf(script('sim:say=""')), [])
  })

  t.test('answers with JSON where the system text asks for it', async (t) => {
    const schema = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] }
    const asked = `System.\n\n${jsonInstruction(schema)}\n\nHi.`
    const turns = [
      { userInputMessage: { content: asked } },
      { assistantResponseMessage: { content: '{"a":"x"}' } }
    ]
    t.equal(textOf(script(asked)), '{"a":"sample"}')
    t.equal(textOf(script('More.', {}, {}, { history: turns })), '{"a":"sample"}')
    t.equal(textOf(script(`${asked} sim:events=3`)), '{"a":"sample"}', 'and nothing is added')
    t.match(JSON.parse(textOf(script(`${jsonInstruction(null)}\n\nHi.`))), { answer: /"Hi\."/ })
    t.equal(textOf(script(`${asked} sim:say="No."`)), 'No.')
    t.equal(textOf(script(`${asked}\n\ncall tool f`, { tools: [f] })), 'The simulator calls f.')
  })

  t.test('has as many events of the size that was asked for', async (t) => {
    for (const events of [0, 1, 30, 500]) {
      t.equal(textsOf(script(`x sim:events=${events}`)).length, events)
      const sized = textsOf(script(`x sim:events=${events} sim:size=40`))
      t.ok(sized.length === events && sized.every((text) => text.length === 40))
    }
  })

  t.test('answers the same request the same', async (t) => {
    t.same(script('call tool f', { tools: [f] }), script('call tool f', { tools: [f] }))
  })

  t.test('counts more context for more text, and in the window of the model', async (t) => {
    const short = percentageOf(script('word'))
    t.ok(short > 0)
    t.ok(percentageOf(script('word '.repeat(1000))) > short * 5)
    t.ok(percentageOf(script('word', {}, { modelId: 'claude-opus-5' })) < short)
  })
})

t.test('writeScript() with tools', async (t) => {
  t.test('calls as the upstream does: head, fragments, stop', async (t) => {
    const steps = script('call tool f with {"a":"x\\ny"}', { tools: [f] })
    const calls = payloadsOf(steps, 'toolUseEvent')
    t.same(Object.keys(calls[0]!), ['name', 'toolUseId'])
    t.equal(inputOf(steps), '{"a":"x\\ny"}')
    t.match(calls.at(-1), { name: 'f', stop: true, input: undefined })
    t.match(calls[0]!['toolUseId'], /^tooluse_[A-Za-z0-9_-]{22}$/)
    t.match(payloadOf(steps, 'metadataEvent'), { stopReason: 'TOOL_USE' })
  })

  t.test('gives each call of an answer, and each turn, its own id', async (t) => {
    const later = [
      { userInputMessage: { content: 'a' } },
      { assistantResponseMessage: { content: 'b' } }
    ]
    t.equal(new Set([...callIds(), ...callIds(later)]).size, 4)
  })

  t.test('quotes tool results', async (t) => {
    const toolUses = [{ toolUseId: 't1', name: 'f', input: {} }]
    const history = [
      { userInputMessage: { content: 'call tool f' } },
      { assistantResponseMessage: { content: ' ', toolUses } }
    ]
    const toolResults = [{ toolUseId: 't1', content: [{ text: '12 degrees' }], status: 'success' }]
    const steps = script('Continue.', { tools: [f], toolResults }, {}, { history })
    t.match(textOf(steps), /1 tool result\(s\): "12 degrees"/)
    t.match(payloadOf(steps, 'metadataEvent'), { stopReason: 'END_TURN' })
  })

  t.test('does not take a system prompt for a wish', async (t) => {
    const steps = script('Always use the f tool.\n\nhello', { tools: [f] })
    t.same(payloadsOf(steps, 'toolUseEvent'), [])
  })

  t.test('sends no fragment for a call without arguments', async (t) => {
    const calls = payloadsOf(script('call tool g', { tools: [upstreamTool('g')] }), 'toolUseEvent')
    t.same(
      calls.map((call) => ({ ...call, toolUseId: 't' })),
      [
        { name: 'g', toolUseId: 't' },
        { name: 'g', toolUseId: 't', stop: true }
      ]
    )
  })

  t.test('cuts the arguments for sim:truncated-tool, and stops nothing', async (t) => {
    const steps = faulty('sim:truncated-tool')
    t.equal(inputOf(steps), '{"a":"long')
    t.notOk(payloadsOf(steps, 'toolUseEvent').some((call) => call['stop']))
    t.same(payloadsOf(steps, 'metadataEvent'), [])
    t.equal(payloadsOf(steps, 'contextUsageEvent').length, 1)
  })

  t.test('announces a finished call again for sim:ghost-tool', async (t) => {
    const calls = payloadsOf(faulty('sim:ghost-tool'), 'toolUseEvent')
    t.equal(calls.filter((call) => call['stop']).length, 2)
    t.equal(new Set(calls.map((call) => call['toolUseId'])).size, 1)
  })

  t.test('sends arguments whole for sim:tool-object', async (t) => {
    const [, second] = payloadsOf(faulty('sim:tool-object'), 'toolUseEvent')
    t.same(second!['input'], { a: 'long enough' })
  })

  t.test('leaves the stop out for sim:tool-no-stop', async (t) => {
    const steps = faulty('sim:tool-no-stop')
    t.equal(inputOf(steps), '{"a":"long enough"}')
    t.notOk(payloadsOf(steps, 'toolUseEvent').some((call) => call['stop']))
  })
})

t.test('writeScript() with reasoning', async (t) => {
  t.test('thinks before the text, with a signature from Claude', async (t) => {
    const steps = reason('claude-opus-5', { thinking: { type: 'adaptive' } })
    t.ok(steps.length > 2 && steps.slice(0, -1).every((payload) => 'text' in payload))
    t.match(steps.at(-1), { signature: /^[A-Za-z0-9+/=]+$/ })
  })

  t.test('ends with what only the upstream can read from GPT', async (t) => {
    const steps = reason('gpt-5.6-sol', { reasoning: { effort: 'high' } })
    t.ok(steps.length > 1 && steps.slice(0, -1).every((payload) => !('signature' in payload)))
    t.match(steps.at(-1), { text: '...', signature: sign('...') })
  })

  t.test('keeps its thoughts to itself where they are omitted or off', async (t) => {
    const omitted = reason('claude-opus-5', { thinking: { type: 'adaptive', display: 'omitted' } })
    t.same(
      omitted.map((payload) => Object.keys(payload)),
      [['signature']]
    )
    t.same(reason('claude-opus-5', { thinking: { type: 'disabled' } }), [])
    t.same(reason('gpt-5.6-sol', { reasoning: { effort: 'none' } }), [])
  })

  t.test('puts thoughts between tags that are cut, where the text asks by tags', async (t) => {
    const steps = script('<thinking_mode>enabled</thinking_mode>\n\nprove it')
    t.match(textOf(steps), /^<thinking>The person wrote 8 characters.*<\/thinking>\n\nThis is/)
    t.notOk(textsOf(steps).some((text) => text.includes('<thinking>')))
    t.notOk(textsOf(steps).some((text) => text.includes('</thinking>')))
  })
})

t.test('writeScript() with faults', async (t) => {
  const MID: [word: string, step: unknown][] = [
    ['exception-mid', { type: 'exception', name: 'InternalServerException' }],
    ['error-mid', { type: 'bytes', bytes: Buffer }],
    ['stall', { type: 'stall' }],
    ['reset', { type: 'reset' }],
    ['fin', { type: 'fin' }]
  ]
  for (const [word, step] of MID) {
    t.test(`sim:${word} comes after half of the text and is the last`, async (t) => {
      const steps = script(`x sim:events=5 sim:${word}`)
      t.equal(steps.length, 4)
      t.match(steps.at(-1), step)
    })
  }

  t.test('sim:corrupt and sim:cut-frame send broken frames', async (t) => {
    t.match(script('x sim:events=4 sim:corrupt')[2], { type: 'bytes' })
    t.match(script('x sim:events=4 sim:cut-frame').slice(4), [{ type: 'bytes' }])
  })

  t.test('sim:throttled-frame and sim:stall-first come before any text', async (t) => {
    t.match(script('x sim:throttled-frame'), [{ type: 'exception', name: 'ThrottlingException' }])
    t.same(script('x sim:stall-first sim:first=9'), [{ type: 'pause', ms: 9 }, { type: 'stall' }])
  })

  t.test('sim:no-end stops after the text', async (t) => {
    t.same(new Set(namesOf(script('x sim:no-end'))), new Set(['assistantResponseEvent']))
  })

  t.test('stop reasons are the ones asked for', async (t) => {
    for (const [word, stopReason] of [
      ['max-tokens', 'MAX_TOKENS'],
      ['context-full', 'MODEL_CONTEXT_WINDOW_EXCEEDED'],
      ['filtered', 'CONTENT_FILTERED']
    ]) {
      t.same(payloadOf(script(`x sim:${word}`), 'metadataEvent'), { stopReason })
    }
  })

  t.test('sim:token-usage splits counts over two frames that add up', async (t) => {
    const [read, written] = payloadsOf(script('x sim:token-usage'), 'metadataEvent')
    const { uncachedInputTokens } = read!['tokenUsage'] as Record<string, number>
    const { outputTokens, totalTokens } = written!['tokenUsage'] as Record<string, number>
    t.equal(totalTokens, uncachedInputTokens! + outputTokens!)
  })
})

function script(
  content: string,
  context: Json = {},
  message: Json = {},
  state: Json = {},
  root: Json = {}
) {
  const request = upstreamRequest(content, {
    ...(Object.keys(context).length === 0 ? {} : { context }),
    message,
    state,
    root
  })
  const view = checkRequest(request)
  if ('status' in view) throw new Error(`refused: ${view.rule}`)
  const model = simulatedModel(view.modelId)!
  const words = findControlWords(content)
  const inputTokens = content.length
  const facts = { words, model, inputTokens, cachedTokens: 0, sign }
  return [...alterAnswer(writeScript(view, facts), words, { inputTokens, isFirst: true })]
}

function faulty(word: string): Step[] {
  return script(`call tool f with {"a":"long enough"} ${word}`, { tools: [f] })
}

function inputOf(steps: readonly Step[]): string {
  return payloadsOf(steps, 'toolUseEvent')
    .map((call) => (typeof call['input'] === 'string' ? call['input'] : ''))
    .join('')
}

function callIds(history?: Json[]): unknown[] {
  const state = history === undefined ? {} : { history }
  const steps = script('call tools f and f', { tools: [f] }, {}, state)
  return payloadsOf(steps, 'toolUseEvent').map((call) => call['toolUseId'])
}

function reason(modelId: string, additionalModelRequestFields: Json): Json[] {
  const steps = script('hi', {}, { modelId }, {}, { additionalModelRequestFields })
  return payloadsOf(steps, 'reasoningContentEvent')
}

function percentageOf(steps: readonly Step[]): number {
  return Number(payloadOf(steps, 'contextUsageEvent')['contextUsagePercentage'])
}

function namesOf(steps: readonly Step[]): string[] {
  return steps.map((step) => (step.type === 'event' ? step.name : step.type))
}

function payloadsOf(steps: readonly Step[], name: string): Json[] {
  return steps.flatMap((step) =>
    step.type === 'event' && step.name === name ? [step.payload as Json] : []
  )
}

function payloadOf(steps: readonly Step[], name: string): Json {
  return payloadsOf(steps, name)[0]!
}

function textsOf(steps: readonly Step[]): string[] {
  return payloadsOf(steps, 'assistantResponseEvent').map((payload) => String(payload['content']))
}

function textOf(steps: readonly Step[]): string {
  return textsOf(steps).join('')
}
