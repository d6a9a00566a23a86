import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startChat } from '../helper/chat-client.ts'
import { skipByDay } from '../helper/nightly.ts'
import { inTerminal, ShownGateway } from '../helper/shown-gateway.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

/** More than a terminal, what shows it and all processes together keep the lines of. */
const REQUESTS = 2000
const COLOUR = '\u001b['

t.test('in a terminal the log is for people', inTerminal, async (t) => {
  const gateway = await ShownGateway.start(t, {
    place: 'terminal',
    env: { HTTP_POOL_TIMEOUT: '7' }
  })
  t.match(gateway.text, /· kiro-gateway \d\S+ · Node \d\S+ · 2 workers · \d+ MB of memory/)
  t.match(gateway.text, /\n .* HTTP_POOL_TIMEOUT=7\b/, 'a setting that is not the default')
  t.match(gateway.text, `OpenAI base URL    ${gateway.url}/v1`)
  await gateway.shows(/simulator answers[^]* login && [^\n]*\n/)
  t.ok(gateway.text.trim().split('\n').length <= 8, gateway.text)
  await startChat(gateway.url, 'hi').answer
  await gateway.shows(/✓ 200 claude-sonnet-4\.6 +\d.* s .* tok \S+ cr\r?\n/)
  t.match(gateway.output, `${COLOUR}32m✓${COLOUR}0m`, 'a worker knows of the terminal, too')
  t.notMatch(gateway.text, '{"level"')
})

const AT_NIGHT = { skip: inTerminal.skip || skipByDay }

t.test('a terminal that nobody reads holds up no request', AT_NIGHT, async (t) => {
  const gateway = await ShownGateway.start(t, {
    place: 'terminal',
    env: { LOG_LEVEL: 'debug' } // with every fact of a request
  })
  gateway.child.stdout?.pause()
  const before = gateway.output.length
  let left = REQUESTS
  const messages = [{ role: 'user', content: 'sim:events=1 sim:gap=0' }]
  let answered = 0
  const ask = async (): Promise<void> => {
    while (left-- > 0) {
      const { status } = await fetch(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'x-request-id': 'x'.repeat(128) },
        body: JSON.stringify({ model: 'auto', messages })
      })
      if (status === 200) answered++
    }
  }
  await Promise.all(Array.from({ length: 20 }, ask))
  t.equal(answered, REQUESTS)
  t.ok(gateway.output.length - before < 100_000, 'nobody has read')
  gateway.child.stdout?.resume()
  await gateway.shows(/log lines dropped/)
})

t.test(
  'NO_COLOR and TERM=dumb take the colours away, LOG_FORMAT=json the rest',
  inTerminal,
  async (t) => {
    const [plain, dumb, json] = await Promise.all([
      ShownGateway.start(t, { place: 'terminal', env: { NO_COLOR: '1', WORKERS: '1' } }),
      ShownGateway.start(t, { place: 'terminal', env: { TERM: 'dumb', WORKERS: '1' } }),
      ShownGateway.start(t, {
        place: 'terminal',
        env: { LOG_FORMAT: 'json', WORKERS: '1', PROXY_API_KEY: 'a-key-of-this-test' }
      })
    ])
    for (const { output } of [plain, dumb]) {
      t.notMatch(output, COLOUR)
      t.match(output, / ✓ ready at http/)
    }
    const lines = json.output.split('\n').filter((line) => line.startsWith('{'))
    t.ok(lines.length > 3)
    for (const line of lines) t.type(JSON.parse(line), 'object')
    t.match(json.output, /"settings":\{.*"PROXY_API_KEY":"\[redacted\]"/)
    t.notMatch(json.output, 'a-key-of-this-test')
  }
)

t.test('on a pipe it is for people where that is set, without colours', async (t) => {
  const gateway = await ShownGateway.start(t, {
    place: 'pipe',
    env: { WORKERS: '1', LOG_FORMAT: 'pretty' }
  })
  await startChat(gateway.url, 'hi').answer
  await gateway.shows(/ ✓ 200 /)
  t.notMatch(gateway.output, COLOUR)
})

t.test('a format that there is not is said to be none', async (t) => {
  const gateway = new ShownGateway({ place: 'pipe', env: { LOG_FORMAT: 'fancy' } })
  t.teardown(() => gateway.stop())
  const [code] = await once(gateway.child, 'close')
  t.equal(code, 78)
  t.match(gateway.output, 'LOG_FORMAT is "fancy". Allowed: one of auto, json, pretty.')
})

t.test('what shows lines to people is loaded for that alone', async (t) => {
  const root = fileURLToPath(new URL('../../src', import.meta.url))
  const files = globSync('**/*.ts', { cwd: root }).filter((file) =>
    readFileSync(join(root, file), 'utf8').includes('pretty-log.ts')
  )
  t.same(files.toSorted(), ['cli/service/shown-log.ts', 'main.ts'])
  const main = readFileSync(join(root, 'main.ts'), 'utf8')
  t.match(main, "await import('./observe/pretty-log.ts')")
  t.notMatch(main, /^import .*pretty-log/m)
})
