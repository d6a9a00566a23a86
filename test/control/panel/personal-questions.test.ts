import t from 'tap'
import { PersonalQuestions } from '../../../src/control/panel/personal-questions.ts'

t.test('one key takes a few places, never all', async (t) => {
  const people = new PersonalQuestions()
  const { promise, resolve } = Promise.withResolvers<string>()
  const asked = Array.from({ length: 8 }, () => people.take('k_anna', () => promise))
  await t.rejects(
    people.take('k_anna', () => promise),
    { code: 'GW_CONFLICT', message: /Wait for their answers/ }
  )
  t.equal(await people.take('k_ben', () => 'mine'), 'mine', 'another key is served')
  t.equal(await people.take(null, () => 'all'), 'all')
  await t.rejects(
    people.take('k_ben', () => Promise.reject(new Error('no'))),
    /no/
  )
  resolve('done')
  t.same(new Set(await Promise.all(asked)), new Set(['done']))
  t.equal(await people.take('k_anna', () => 'again'), 'again', 'places are given back')
})
