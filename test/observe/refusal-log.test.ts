import { mock } from 'node:test'
import t from 'tap'
import { RefusalLog } from '../../src/observe/refusal-log.ts'
import { recordedLog } from '../helper/recorded-log.ts'

mock.timers.enable({ apis: ['setTimeout'] })
t.teardown(() => mock.timers.reset())

t.test('RefusalLog', async (t) => {
  const { log, lines } = recordedLog()
  const refusals = new RefusalLog(log)
  const told = () => lines.splice(0).map((line): unknown => JSON.parse(line))

  t.test('has a line for each of a few refusals', async (t) => {
    for (let i = 0; i < 10; i++) refusals.note({ request_id: `r${i}`, code: 'GW_KEY_MISSING' })
    t.match(told()[9], { request_id: 'r9', code: 'GW_KEY_MISSING', msg: 'request refused' })
  })

  t.test('has one line for all that come then', async (t) => {
    for (let i = 0; i < 100_000; i++) refusals.note({ code: 'GW_KEY_MISSING' })
    refusals.note({ code: 'GW_ROUTE_UNKNOWN' })
    t.equal(lines.length, 0)
    mock.timers.tick(10_000)
    const codes = { GW_KEY_MISSING: 100_000, GW_ROUTE_UNKNOWN: 1 }
    t.match(told(), [{ codes, msg: 'more requests refused' }])
  })

  t.test('begins anew after that, and is silent while nothing comes', async (t) => {
    mock.timers.tick(60_000)
    t.equal(lines.length, 0)
    for (let i = 0; i < 12; i++) refusals.note({ code: 'GW_KEY_INVALID' })
    t.equal(told().length, 10)
  })

  t.test('says at its end what it has not said', async (t) => {
    refusals.close()
    t.match(told(), [{ codes: { GW_KEY_INVALID: 2 } }])
    refusals.close()
    mock.timers.tick(60_000)
    t.equal(lines.length, 0)
  })
})
