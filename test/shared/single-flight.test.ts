import t from 'tap'
import { loadOnce, singleFlight } from '../../src/shared/single-flight.ts'

t.test('whoever hears that one is over may begin the next', async (t) => {
  const words = ['second', 'third']
  const asked: string[] = []
  const ask = singleFlight(
    async (word: string) => void asked.push(word),
    () => {
      t.equal(ask.running, null)
      const next = words.shift()
      if (next !== undefined) void ask(next)
    }
  )
  await ask('first')
  await ask.running
  await ask.running
  t.same(asked, ['first', 'second', 'third'])
})

t.test('calls while one is under way share its result, and a later one begins anew', async (t) => {
  const asked: PromiseWithResolvers<string>[] = []
  const ask = singleFlight((_word: string) => {
    const answer = Promise.withResolvers<string>()
    asked.push(answer)
    return answer.promise
  })
  t.equal(ask.running, null)
  const first = ask('first')
  t.equal(ask('second'), first)
  t.equal(ask.running, first)
  asked[0]?.resolve('answer')
  t.equal(await first, 'answer')
  t.equal(ask.running, null)
  const third = ask('third')
  t.equal(asked.length, 2)
  asked[1]?.reject(new Error('no answer'))
  await t.rejects(third, /no answer/)
  t.equal(ask.running, null, 'a failure ends it as well')
})

t.test('a result is kept once there is one, and a failure is not', async (t) => {
  const results = [Promise.reject(new Error('not yet')), Promise.resolve('loaded')]
  let asked = 0
  const load = loadOnce(() => results[asked++] ?? Promise.resolve('again'))
  const failing = load()
  t.equal(load(), failing, 'shared while it is under way')
  await t.rejects(failing, /not yet/)
  t.equal(await load(), 'loaded')
  t.equal(await load(), 'loaded')
  t.equal(asked, 2)
})
