import { once } from 'node:events'
import { cachedDataVersionTag, getHeapSpaceStatistics } from 'node:v8'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { garbageCollector, returnStartMemory } from '../../src/shared/garbage.ts'

/** As much as a new process has, and more than is left (Node 26: 256 KiB, Node 24: 1 MiB). */
const SMALL_BYTES = 1024 * 1024

function youngBytes(): number {
  return (
    getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0
  )
}

/** Objects of which so many live at a time that V8 makes more room for young ones. */
function makeYoung(): void {
  const kept: object[] = []
  for (let number = 0; number < 400_000; number++) kept[number % 20_000] = { number }
}

t.test('a collector goes on taking code that was compiled before', (t) => {
  const tag = cachedDataVersionTag()
  const collect = garbageCollector()
  t.equal(cachedDataVersionTag(), tag)
  const gone = new WeakRef({})
  return new Promise<void>((resolve) => {
    setImmediate(() => {
      collect({ type: 'major', execution: 'sync' })
      t.equal(gone.deref(), undefined, 'it collects')
      resolve()
    })
  })
})

t.test('room for young objects goes back', (t) => {
  makeYoung()
  t.ok(youngBytes() > SMALL_BYTES, 'there is more room')
  garbageCollector()({ type: 'major', execution: 'sync' })
  t.ok(youngBytes() > SMALL_BYTES, 'a usual collection keeps it')
  returnStartMemory()
  t.ok(youngBytes() <= SMALL_BYTES, `${youngBytes()} bytes are left`)
  t.end()
})

t.test('threads that look for a collector at the same time all find one', async (t) => {
  const module = new URL('../../src/shared/garbage.ts', import.meta.url).href
  const code = `
    import(${JSON.stringify(module)}).then(({ garbageCollector }) => {
      for (let found = 0; found < 200; found++) garbageCollector()
    })`
  const ends = Array.from({ length: 4 }, async () => {
    const thread = new Worker(code, { eval: true })
    const [problem] = await Promise.race([
      once(thread, 'exit').then(() => []),
      once(thread, 'error')
    ])
    return problem
  })
  t.strictSame(await Promise.all(ends), [undefined, undefined, undefined, undefined])
})
