import t from 'tap'
import { simulatedModel } from '../../src/simulator/models.ts'
import { checkRequest } from '../strict-simulator/request-rules.ts'
import { callSteps, type Step, writeScript } from '../../src/simulator/script.ts'
import { piecesOf } from '../../src/simulator/spoken-text.ts'
import { countTokens, TokenCounter } from '../../src/simulator/tokens.ts'
import { findControlWords } from '../../src/simulator/words.ts'
import { upstreamRequest, upstreamTool } from '../helper/simulator-request.ts'
import { alterAnswer, fillerText } from '../strict-simulator/odd-answers.ts'

const sign = (text: string) => text
const FACTS = { inputTokens: 1, isFirst: true }

t.test('arguments of any length come in pieces of any size', async (t) => {
  const call = { name: 'write', input: { path: 'a', text: 'x', count: 1 }, toolUseId: 't' }
  for (const piece of [1, 13, 5000]) {
    const words = findControlWords(`sim:arguments=3000 sim:piece=${piece}`)
    const steps = alterAnswer(
      callSteps({ ...call, input: JSON.stringify(call.input) }, false),
      words,
      FACTS
    )
    const pieces = [...steps].flatMap((step) => {
      const { input } = (step as { payload: { input?: string } }).payload
      return input === undefined ? [] : [input]
    })
    t.same(JSON.parse(pieces.join('')), { path: 'a', text: fillerText(3000), count: 1 })
    t.ok(
      pieces.every((one, index) => index === pieces.length - 1 || Array.from(one).length === piece)
    )
  }
  t.equal(fillerText(3000).length, 3000)
})

t.test('an answer is made while it is read, however long it is', async (t) => {
  const tool = upstreamTool('write', { type: 'object', properties: { text: { type: 'string' } } })
  for (const prompt of [
    'sim:events=100000000 sim:size=1024',
    '<thinking_mode>enabled</thinking_mode> sim:thoughts=100000000 sim:size=1024',
    'use tool write with {"text":"x"} sim:arguments=100000000 sim:piece=1024'
  ]) {
    const view = checkRequest(upstreamRequest(prompt, { context: { tools: [tool] } }))
    if ('status' in view) throw new Error(`refused: ${view.rule}`)
    const model = simulatedModel(view.modelId)
    if (model === undefined) throw new Error('no such model')
    const words = findControlWords(prompt)
    const facts = { words, model, inputTokens: 1, cachedTokens: 0, sign }
    const script = alterAnswer(writeScript(view, facts), words, FACTS)
    let last: Step | undefined
    for (let index = 0; index < 100; index++) last = script.next().value ?? undefined
    t.ok(JSON.stringify(last).length > 1000, prompt)
  }
})

t.test('tokens are the same wherever a text is cut', async (t) => {
  const text = fillerText(500) + 'longish_words and 漢字 with words of several pieces'
  for (const size of [1, 3, 7]) {
    const counter = new TokenCounter()
    for (const piece of piecesOf(text, size)) counter.add(piece)
    t.equal(counter.tokens, countTokens(text))
  }
})
