import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { startGateway } from '../helper/gateway-process.ts'
import { skipByDay } from '../helper/nightly.ts'
import { Simulator } from '../strict-simulator/simulator.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const ENTRY = fileURLToPath(new URL('../../src/start.js', import.meta.url))
const BOOK_THREAD = fileURLToPath(new URL('../../workers/usage-book.ts', import.meta.url))
const CONVERSION_THREAD = fileURLToPath(
  new URL('../../workers/transform-request.ts', import.meta.url)
)
const SHORT = 'Hello'
/** Converted in a thread. */
const LARGE = SHORT.repeat(60_000)
/** The entry, which a warm-up cannot load without starting it, and what libraries load with the first connection. */
const MOST_LEFT = 6

const simulator = new Simulator()
t.teardown(() => simulator.close())
const { url: upstreamUrl } = await simulator.start()

const folders = t.testdir({ warm: {}, untouched: {} })
const [warm, untouched] = [join(folders, 'warm'), join(folders, 'untouched')]
run([ENTRY, '--warm-up'], warm)
const warmed = compiledIn(warm)
cpSync(warm, untouched, { recursive: true })

t.test(
  'a gateway finds its code compiled by the warm-up, in every process and thread',
  async (t) => {
    const kinds = readdirSync(warm)
    await serve(t, warm, [SHORT, LARGE])
    const added = [...compiledIn(warm)].filter((name) => !warmed.has(name))
    t.ok(added.length <= MOST_LEFT, `compiled anew: ${added.length} of ${warmed.size}`)
    t.same(readdirSync(warm), kinds)
  }
)

t.test('so does each thread for conversions after the first of a worker', (t) => {
  const before = compiledIn(untouched)
  const start = `new Worker(${JSON.stringify(CONVERSION_THREAD)})`
  const script = `const { Worker } = require('node:worker_threads'); ${start}.once('exit', () => ${start})`
  run(['-e', script], untouched)
  const added = [...compiledIn(untouched)].filter((name) => !before.has(name))
  t.ok(added.length <= 2, `compiled anew: ${added.length} of ${before.size}`)
  t.end()
})

t.test(
  'the thread of the account book keeps what it has compiled',
  { skip: skipByDay },
  async (t) => {
    const folder = t.testdir()
    await serve(t, folder, [SHORT])
    const before = compiledIn(folder)
    run([BOOK_THREAD], folder)
    const added = [...compiledIn(folder)].filter((name) => !before.has(name))
    t.ok(added.length <= 2, `compiled anew: ${added.length} of ${before.size}`)
  }
)

/** Starts a gateway that keeps compiled code in a folder, asks, and stops it. */
async function serve(t: Test, folder: string, words: readonly string[]): Promise<void> {
  const env = { NODE_COMPILE_CACHE: folder, WORKERS: '2' }
  const gateway = await startGateway({ upstreamUrl, env, isMeasured: true }) // no modules but its own
  t.teardown(() => gateway.destroy())
  for (const content of words) {
    const messages = [{ role: 'user', content }]
    const response = await fetch(`${gateway.url}/v1/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'auto', max_tokens: 100, messages })
    })
    await response.arrayBuffer()
    t.equal(response.status, 200)
  }
  t.equal(await gateway.stop(), 0)
}

function run(args: readonly string[], folder: string): void {
  execFileSync(process.execPath, args, { env: { NODE_COMPILE_CACHE: folder } })
}

function compiledIn(folder: string): ReadonlySet<string> {
  return new Set(
    readdirSync(folder).flatMap((kind) =>
      readdirSync(join(folder, kind)).map((name) => join(kind, name))
    )
  )
}
