import { Redis } from 'ioredis'
import t from 'tap'
import * as scripts from '../../src/fleet/valkey-scripts.ts'
import { EngineProcess, TEST_ENGINE, whyNoEngine } from '../helper/engine-process.ts'
import { Chance } from './chance.ts'
import { digestOf, EngineData, type Reply } from './engine-data.ts'
import { SCRIPTS } from './engine-scripts.ts'

t.setTimeout(180_000)

const { READ_SCRIPT, CAS_SCRIPT, BEAT_SCRIPT, RECORD_READ_SCRIPT, RECORD_CAS_SCRIPT } = scripts
const [LEDGER, BEATS, NEWS] = ['{kiro:test}:ledger', '{kiro:test}:beats', '{kiro:test}:news']
const RECORDS = ['{kiro:test}:record:a', '{kiro:test}:record:b']
const INCS = ['a1', 'a2', 'b1']
const STEPS = 2_000
const LONGEST = 20

interface Call {
  readonly script: string
  readonly keys: readonly string[]
  readonly args: readonly string[]
}

t.test('every script of a fleet is known to the world', (t) => {
  t.strictSame(Object.values(scripts).map(digestOf).toSorted(), Object.keys(SCRIPTS).toSorted())
  t.end()
})

t.test('the world answers scripts as Valkey does', { skip: whyNoEngine() }, async (t) => {
  const engine = await EngineProcess.start(TEST_ENGINE)
  t.teardown(() => engine.destroy())
  const client = new Redis(engine.port, { maxRetriesPerRequest: 5 })
  t.teardown(() => client.disconnect())
  const run = /run_id:(\w+)/.exec(await client.info('server'))?.[1] ?? ''
  let now = Date.now()
  const data = new EngineData(run, { now: () => now, onPublish: () => {} })
  const chance = Chance.for(7, 'scripts')
  const pipeline = client.pipeline()
  const here: Reply[] = []
  const disturb = (key: string, field: string, value: string): void => {
    pipeline.hset(key, field, value)
    here.push(data.get(key, field) === null ? 1 : 0)
    data.set(key, { [field]: value })
  }
  for (let step = 0; step < STEPS; step += 1) {
    now += chance.pick([0, 1, 700])
    if (chance.isTrue(0.02)) disturb(LEDGER, 'rev', chance.pick(['0', 'x', '1e99', '12']))
    if (chance.isTrue(0.02)) disturb(BEATS, 'a1', chance.pick(['-4', 'x', '7']))
    if (chance.isTrue(0.02)) disturb(chance.pick(RECORDS), 'at', 'x')
    const { script, keys, args } = draw(chance, data)
    // The clock of both is the test's.
    const text = script.replaceAll("redis.call('TIME')", `{${secondsOf(now)}, ${microsOf(now)}}`)
    pipeline.eval(text, keys.length, ...keys, ...args)
    here.push(data.call(['eval', script, String(keys.length), ...keys, ...args]))
  }
  const there = ((await pipeline.exec()) ?? []).map(([error, reply]) => error ?? reply)
  const other = here.findIndex((one, at) => JSON.stringify(one) !== JSON.stringify(there[at]))
  t.ok(there.length >= STEPS)
  if (other >= 0) t.strictSame(here[other], there[other], `call ${other}`)
})

function secondsOf(ms: number): number {
  return Math.floor(ms / 1_000)
}

function microsOf(ms: number): number {
  return (ms % 1_000) * 1_000
}

/** Mostly a call that changes something, as it comes from who has read before; sometimes one that is too late. */
function draw(chance: Chance, data: EngineData): Call {
  const isLate = chance.isTrue(0.2)
  const run = chance.isTrue(0.1) ? 'another' : data.run
  const record = chance.pick(RECORDS)
  const revOf = (key: string): number => (Number(data.get(key, 'rev')) || 0) - (isLate ? 1 : 0)
  switch (chance.pick(['read', 'beat', 'cas', 'cas', 'record', 'record cas', 'record cas'])) {
    case 'read':
      return { script: READ_SCRIPT, keys: [LEDGER, BEATS], args: [] }
    case 'beat':
      return { script: BEAT_SCRIPT, keys: [LEDGER, BEATS], args: [run, chance.pick(INCS)] }
    case 'cas':
      return { script: CAS_SCRIPT, keys: [LEDGER, BEATS, NEWS], args: drawCas(run, revOf(LEDGER)) }
    case 'record':
      return { script: RECORD_READ_SCRIPT, keys: [record], args: [String(LONGEST)] }
    default: {
      const change = chance.isTrue(0.2) ? ['delete', ''] : ['set', 'v'.repeat(chance.pick([3, 30]))]
      const rest = [chance.pick(['0', '900000']), chance.pick(['', 'record a'])]
      const args = [String(LONGEST), String(revOf(record)), ...change, ...rest]
      return { script: RECORD_CAS_SCRIPT, keys: [record, NEWS], args }
    }
  }

  function drawCas(by: string, rev: number): readonly string[] {
    const incs = INCS.filter(() => chance.isTrue(0.6))
    const expected = chance.isTrue(0.3) ? [chance.pick(INCS)] : []
    const expects = expected.flatMap((inc) => [inc, data.get(BEATS, inc) ?? '0'])
    const signature = chance.pick(['f'.repeat(64), 'short'])
    const written = [String(rev + 1), chance.pick(['1.a.1', '2.b.9']), '{"state":true}', signature]
    return [by, String(rev), ...written, String(incs.length), ...incs, ...expects]
  }
}
