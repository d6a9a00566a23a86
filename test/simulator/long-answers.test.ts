import t from 'tap'
import { fillerText, toolSteps } from '../../src/simulator/script.ts'
import { findControlWords } from '../../src/simulator/words.ts'

t.test('arguments of any length come in pieces of any size', async (t) => {
  const calls = [{ name: 'write', input: { path: 'a', text: 'x', count: 1 } }]
  for (const piece of [1, 13, 5000]) {
    const words = findControlWords(`sim:arguments=3000 sim:piece=${piece}`)
    const view = { history: [], current: { content: '' } } as never
    const pieces = [...toolSteps(calls, { view, words })].flatMap((step) => {
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
