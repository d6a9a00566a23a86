import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { rehearse } from '../../src/server/rehearsal.ts'
import { FakePrimary } from '../helper/fake-primary.ts'
import { Simulator } from '../strict-simulator/simulator.ts'

t.setTimeout(120_000) // real processes, on a machine that may be busy

const FUNCTIONS_RUN = fileURLToPath(new URL('../helper/rehearsed-functions.ts', import.meta.url))
const ANSWERS = 6
/** Timers that fire, and ways that these answers take and the rehearsed ones do not. */
const MOST_NEW = 80

interface FunctionsRun {
  readonly before: number
  readonly first: readonly string[]
}

t.test('after a rehearsal the first requests run hardly a function for the first time', (t) => {
  const unrehearsed = functionsRun('unrehearsed')
  t.ok(unrehearsed.first.length > 500, `without: ${unrehearsed.first.length}`)
  const { first } = functionsRun('rehearsed')
  t.ok(first.length <= MOST_NEW, `${first.length}: ${first.join(', ')}`)
  t.end()
})

t.test('a rehearsal leaves nothing behind', async (t) => {
  const simulator = new Simulator()
  t.teardown(() => simulator.close())
  const { url } = await simulator.start()
  const stateDir = t.testdir()
  const debugDir = `${stateDir}/debug`
  const lines: string[] = []
  const primary = await FakePrimary.start(t, new URL(url), {
    env: {
      LOG_LEVEL: 'debug',
      STATE_DIR: stateDir,
      DEBUG_DIR: debugDir,
      DEBUG_MODE: 'all',
      VPN_PROXY_URL: 'http://127.0.0.1:1',
      HTTP_MIN_IDLE_CONNECTIONS: '2'
    },
    lines
  })
  const written = lines.length
  const said = primary.messages.length
  const resources = heldResources()
  const stats = simulator.stats()
  t.equal(await rehearse(primary.told, () => true), ANSWERS)
  for (const _ of '12') await nextTurn() // closed handles go at the end of a turn
  t.same(heldResources(), resources, 'no socket, server or timer')
  t.equal(lines.length, written, 'nothing is logged')
  t.same(
    primary.messages.slice(said).filter(({ type }) => type !== 'worker.alive'),
    [],
    'the primary hears of nothing'
  )
  t.same(readdirSync(stateDir, { recursive: true }), [])
  t.same(simulator.stats(), stats, 'the upstream hears of nothing')
})

t.test('a rehearsal ends when there are clients', async (t) => {
  const primary = await FakePrimary.start(t, new URL('http://127.0.0.1:1'))
  t.equal(await rehearse(primary.told, () => false), 0)
  let asked = 0
  t.equal(await rehearse(primary.told, () => ++asked <= 2), 2)
})

function functionsRun(how: string): FunctionsRun {
  const text = execFileSync(process.execPath, [FUNCTIONS_RUN, how], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] }
  })
  return JSON.parse(text)
}

function heldResources(): readonly string[] {
  const held = process.getActiveResourcesInfo().filter((kind) => kind !== 'Immediate')
  return held.toSorted()
}
