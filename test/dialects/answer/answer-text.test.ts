import t from 'tap'
import { familyOf } from '../../../src/kiro/tokens/request-tokens.ts'
import { TextCounter } from '../../../src/kiro/tokens/text-counter.ts'
import { charCounter } from '../../helper/char-counter.ts'
import { AnswerText } from '../../../src/dialects/answer/part-reader.ts'
import { ENDLESS_ROOM } from '../../../src/dialects/answer/output-text.ts'
import type { StreamPart } from '../../../src/dialects/answer/stream-part.ts'
import { AnswerLimit, UsageMeter } from '../../../src/dialects/answer/usage.ts'
import { type PlanChanges, replyPlan } from '../../helper/reply-plan.ts'

const form = { parameters: { cmd: 'text' }, required: [] } as const

/** An answer's text, and what has come out of it so far. */
function answerText(changes: Partial<PlanChanges>) {
  const plan = replyPlan(changes)
  const parts: StreamPart[] = []
  const stops: string[] = []
  const text = new AnswerText({
    plan,
    meter: new UsageMeter({ ...plan, newCounter: () => charCounter() }),
    limit: new AnswerLimit(
      plan.maxOutputTokens,
      new TextCounter(familyOf(plan.upstreamModel)),
      () => stops.push('limit')
    ),
    room: ENDLESS_ROOM,
    onStop: (sequence) => stops.push(sequence)
  })
  const said = () => parts.splice(0).map((part) => ('text' in part ? part.text : part))
  return {
    stops,
    push: (delta: string) => {
      parts.push(...text.push(delta))
      return said()
    },
    release: () => {
      text.release(parts)
      return said()
    },
    end: () => ({ calls: text.end(parts), said: said() })
  }
}

t.test('text passes as it comes where nothing must hold it', async (t) => {
  for (const changes of [{}, { stopSequences: [''] }, { textCallForms: { run: form } }]) {
    const text = answerText(changes)
    for (const delta of ['a', 'b\n', ' c', '\n', 'd']) t.same(text.push(delta), [delta])
    t.same(text.end(), { calls: [], said: [] })
  }
})

t.test('finds stop strings first, then takes the fence off what is left', async (t) => {
  const text = answerText({ stopSequences: ['END'], isJsonAnswer: true })
  t.same(text.push('```json\n{"a":1}\n```\nEN'), [])
  t.same(text.push('Dxyz'), [])
  t.same(text.stops, ['END'])
  t.same(text.release(), ['{"a":1}'])
})

t.test('releases what both of them hold, in order', async (t) => {
  const text = answerText({ stopSequences: ['END'], isJsonAnswer: true })
  t.same(text.push('``E'), [])
  t.same(text.release(), ['``E'])
  t.same(text.stops, [])
})

t.test('text before a stop string is no call, whatever it looks like', async (t) => {
  const call = '[Called run with args: {"cmd":"ls"}]'
  const whole = answerText({ textCallForms: { run: form } })
  t.same(whole.push(call), [])
  t.match(whole.end(), { calls: [{ name: 'run', json: '{"cmd":"ls"}' }], said: [] })
  const stopped = answerText({ textCallForms: { run: form }, stopSequences: ['END'] })
  t.same(stopped.push(`${call}END`), [])
  t.same(stopped.end(), { calls: [], said: [call] })
})

t.test('the limit comes last, and is told once', async (t) => {
  const text = answerText({ stopSequences: ['END'], maxOutputTokens: 2 })
  t.same(text.push('one two three four five END').length, 1)
  t.same(text.stops, ['END', 'limit'])
  t.same(text.push('more'), [])
  t.same(text.stops, ['END', 'limit'])
})
