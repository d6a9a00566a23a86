import { mock } from 'node:test'
import t from 'tap'
import { KeyRefusals } from '../../src/observe/key-refusals.ts'
import { recordedLog } from '../helper/recorded-log.ts'

mock.timers.enable({ apis: ['setTimeout'] })
t.teardown(() => mock.timers.reset())

const ANNA = { key: 'anna', keyHash: 'k_1', code: 'GW_KEY_RATE' }

t.test('KeyRefusals', async (t) => {
  const { log, lines } = recordedLog()
  const refusals = new KeyRefusals(log)
  const told = () => lines.splice(0).map((line): unknown => JSON.parse(line))
  const noted = (count: number, refusal = ANNA): number =>
    Array.from({ length: count }, () => refusals.note(refusal)).filter(Boolean).length

  t.test('lets a hundred of a key and code have a line, and counts the rest', async (t) => {
    t.equal(noted(1_334), 100)
    t.equal(noted(3, { ...ANNA, code: 'GW_MODEL_NOT_ALLOWED' }), 3)
    t.equal(noted(101, { ...ANNA, key: 'ben', keyHash: 'k_2' }), 100)
    t.same(told(), [])
    mock.timers.tick(60_000)
    const msg = 'more requests refused in this minute'
    t.match(told(), [
      { msg, key: 'anna', client_key_hash: 'k_1', code: 'GW_KEY_RATE', more: 1_234 },
      { msg, key: 'ben', more: 1 }
    ])
  })

  t.test('begins anew after that, and is silent while nothing comes', async (t) => {
    mock.timers.tick(600_000)
    t.same(told(), [])
    t.equal(noted(120), 100)
  })

  t.test('has a bound on keys, of which clients may make up any number', async (t) => {
    mock.timers.tick(60_000)
    told()
    let lines = 0
    for (let key = 0; key < 5_000; key++) lines += noted(1, { ...ANNA, keyHash: `k_${key}` })
    t.equal(lines, 1_100)
    mock.timers.tick(60_000)
    t.match(told(), [{ code: 'other', more: 3_900 }])
  })

  t.test('says at its end what it has not said', async (t) => {
    noted(102)
    refusals.close()
    t.match(told(), [{ more: 2 }])
    refusals.close()
    mock.timers.tick(60_000)
    t.same(told(), [])
  })
})
