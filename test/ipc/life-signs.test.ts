import t from 'tap'
import { BEAT_MS, LifeSigns } from '../../src/ipc/life-signs.ts'

const patience = { ms: 3 * BEAT_MS, firstMs: 6 * BEAT_MS }

/** Somebody whose silence is to be told, and how many beats pass until it is. */
function beatsUntilSilent(signs: LifeSigns<string>, name: string): number {
  for (let beats = 0; beats < 100; beats++) {
    if (signs.silent(patience).includes(name)) return beats
    signs.beat()
  }
  throw new Error('it is never told')
}

t.test('LifeSigns', async (t) => {
  t.test('tells who has been silent for too long, and who has not been heard at all', async (t) => {
    const signs = new LifeSigns<string>()
    signs.add('starting')
    signs.add('serving')
    signs.heard('serving')
    t.equal(beatsUntilSilent(signs, 'serving'), 4, 'three whole beats, and the one that had begun')
    t.equal(signs.silentMs('serving'), 3 * BEAT_MS)
    t.equal(beatsUntilSilent(signs, 'starting'), 3, 'after six')
  })

  t.test('begins anew with every sign', async (t) => {
    const signs = new LifeSigns<string>()
    signs.add('a')
    for (let beats = 0; beats < 100; beats++) {
      signs.heard('a')
      signs.beat()
      signs.beat()
      t.same(signs.silent(patience), [])
    }
  })

  t.test('knows nothing of who has left', async (t) => {
    const signs = new LifeSigns<string>()
    signs.add('a')
    signs.remove('a')
    signs.heard('a')
    for (let beats = 0; beats < 100; beats++) signs.beat()
    t.same(signs.silent(patience), [])
    t.equal(signs.silentMs('a'), 0)
  })

  t.test('without a limit finds nobody silent', async (t) => {
    const signs = new LifeSigns<string>()
    signs.add('a')
    for (let beats = 0; beats < 100; beats++) signs.beat()
    t.same(signs.silent({ ms: null, firstMs: 0 }), [])
  })
})
