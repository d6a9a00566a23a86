import t from 'tap'
import { Pending } from '../../src/ipc/channel.ts'

t.test('Pending', (t) => {
  t.test('gives each question its own answer, in any order', async (t) => {
    const pending = new Pending<string>()
    const ids: number[] = []
    const answers = ['a', 'b'].map(() => pending.ask((id) => ids.push(id)))
    t.same(ids, [1, 2])
    pending.answer(2, 'second')
    pending.answer(1, 'first')
    t.same(await Promise.all(answers), ['first', 'second'])
  })
  t.test('takes an answer that comes while the question is sent', async (t) => {
    const pending = new Pending<string>()
    t.equal(await pending.ask((id) => pending.answer(id, 'at once')), 'at once')
  })
  t.test('drops answers that nobody waits for', async (t) => {
    const pending = new Pending<string>()
    pending.answer(1, 'early')
    const asked = pending.ask((id) => pending.answer(id + 1, 'of another'))
    pending.answer(1, 'right')
    pending.answer(1, 'twice')
    t.equal(await asked, 'right')
  })
  t.test('waits no longer than its signal', async (t) => {
    const pending = new Pending<string>()
    const leaving = new AbortController()
    const left = t.rejects(
      pending.ask(() => {}, leaving.signal),
      { message: 'left' }
    )
    leaving.abort(new Error('left'))
    await left
    const sent: number[] = []
    await t.rejects(
      pending.ask((id) => sent.push(id), leaving.signal),
      { message: 'left' }
    )
    t.same(sent, [], 'and asks nothing for who is gone')
  })
  t.end()
})
