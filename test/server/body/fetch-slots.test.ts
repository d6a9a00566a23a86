import t from 'tap'
import { FetchSlots } from '../../../src/server/body/fetch-slots.ts'

const never = new AbortController().signal

/** Fetches that last until the test ends them. */
function rig(size: number) {
  const limit = { size }
  const slots = new FetchSlots(() => limit.size)
  const running: { readonly key: string; readonly end: () => void }[] = []
  const start = (key: string, signal = never): Promise<string> =>
    slots.run(key, signal, () => {
      const { promise, resolve } = Promise.withResolvers<string>()
      running.push({ key, end: () => resolve(key) })
      return promise
    })
  const started = async (): Promise<string> => {
    await new Promise((resolve) => setImmediate(resolve))
    return running.map(({ key }) => key).join('')
  }
  const end = async (index: number): Promise<string> => {
    running[index]?.end()
    return started()
  }
  return { limit, start, started, end }
}

t.test('FetchSlots', (t) => {
  t.test('gives a key at most half, and what is left to others', async (t) => {
    const { start, started, end } = rig(4)
    for (let count = 0; count < 4; count++) void start('a')
    t.equal(await started(), 'aa')
    void start('b')
    void start('b')
    void start('c')
    t.equal(await started(), 'aabb', 'that is all there is')
    t.equal(await end(0), 'aabbc', 'c has none yet')
    t.equal(await end(2), 'aabbca')
  })

  t.test('lets keys take turns', async (t) => {
    const { start, started, end } = rig(2)
    for (const key of ['a', 'a', 'a', 'b', 'b', 'c']) void start(key)
    t.equal(await started(), 'ab')
    t.equal(await end(0), 'aba')
    t.equal(await end(2), 'abac')
    t.equal(await end(1), 'abacb')
    t.equal(await end(3), 'abacba')
  })

  t.test('forgets who has left, and goes on after a failure', async (t) => {
    const { start, started, end } = rig(1)
    const abort = new AbortController()
    void start('a')
    const leaver = start('b', abort.signal)
    void start('c')
    t.equal(await started(), 'a')
    abort.abort(new Error('left'))
    await t.rejects(leaver, { message: 'left' })
    await t.rejects(start('b', abort.signal), { message: 'left' })
    t.equal(await end(0), 'ac')
    const slots = new FetchSlots(() => 1)
    await t.rejects(
      slots.run('a', never, () => Promise.reject(new Error('failed'))),
      { message: 'failed' }
    )
    t.equal(await slots.run('a', never, () => Promise.resolve('next')), 'next')
  })

  t.test('follows a size that changes, and always has one', async (t) => {
    const { limit, start, started, end } = rig(1)
    for (const key of ['a', 'b', 'c', 'd']) void start(key)
    t.equal(await started(), 'a')
    limit.size = 3
    t.equal(await end(0), 'abcd')
  })
  t.end()
})
