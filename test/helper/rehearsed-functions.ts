import { Session } from 'node:inspector/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { rehearse } from '../../src/server/rehearsal.ts'
import { Simulator } from '../strict-simulator/simulator.ts'
import { FakePrimary } from './fake-primary.ts'

/**
 * Program that prints, as JSON, which functions of this project have run before a worker's first requests, in number, and
 * which run for the first time then. Its argument says whether the worker rehearses.
 */

const SOURCES = /\/src\/(?!simulator\/)/
const QUESTION = { role: 'user', content: 'Say hello.' } as const
const COMMON = { model: 'claude-sonnet-4.6', stream: true } as const
const REQUESTS: Readonly<Record<string, object>> = {
  '/v1/chat/completions': { messages: [QUESTION] },
  '/v1/messages': { max_tokens: 100, messages: [QUESTION] },
  '/v1/responses': { input: 'Say hello.', store: false }
}

const closings: (() => unknown)[] = []
const simulator = new Simulator()
closings.push(() => simulator.close())
const session = new Session()
session.connect()
await session.post('Profiler.enable')
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })

const { url } = await simulator.start()
const teardowns = { teardown: (close: () => unknown) => void closings.push(close) }
const primary = await FakePrimary.start(teardowns, new URL(url), {
  env: { LOG_LEVEL: 'info' },
  lines: []
})
if (process.argv[2] === 'rehearsed') await rehearse(primary.told, () => true)
const before = new Set(await functionsRun())
for (const [path, body] of Object.entries(REQUESTS)) {
  const response = await fetch(primary.url + path, {
    method: 'POST',
    headers: { authorization: 'Bearer good-key', 'content-type': 'application/json' },
    body: JSON.stringify({ ...COMMON, ...body })
  })
  const text = await response.text()
  if (response.status !== 200) throw new Error(text)
}
await nextTurn()
const first = (await functionsRun()).filter((name) => !before.has(name))
for (const close of closings.toReversed()) await close()
process.stdout.write(JSON.stringify({ before: before.size, first }))

async function functionsRun(): Promise<readonly string[]> {
  const { result } = await session.post('Profiler.takePreciseCoverage')
  return result
    .filter((script) => SOURCES.test(script.url))
    .flatMap((script) =>
      script.functions
        .filter(({ ranges: [range] }) => range !== undefined && range.count > 0)
        .map(({ functionName, ranges: [range] }) => {
          const file = script.url.slice(script.url.lastIndexOf('/src/') + 1)
          return `${file} ${functionName} ${range?.startOffset}`
        })
    )
}
