import t from 'tap'
import { OpenTurns } from '../../../src/server/worker/open-turns.ts'
import { GatewayError } from '../../../src/shared/errors.ts'

const error = new GatewayError('GW_DRAINING')

function turnOf(keyLabel: string, isWaiting = false) {
  return { abort: () => {}, keyLabel, isWaiting }
}

t.test('byKey()', async (t) => {
  const turns = new OpenTurns()
  t.same([...turns.byKey()], [])
  const last = turnOf('ben')
  for (const turn of [turnOf('anna'), turnOf('anna', true), turnOf('anna'), last]) turns.add(turn)
  t.same(
    [...turns.byKey()],
    [
      ['anna', { streams: 2, waiting: 1 }],
      ['ben', { streams: 1, waiting: 0 }]
    ]
  )
  turns.remove(last)
  t.notOk(turns.byKey().has('ben'))
})

t.test('drain()', (t) => {
  t.test('is done at once when nothing is open', async () => {
    await new OpenTurns().drain({ timeoutMs: 60_000, graceMs: 60_000, error })
  })
  t.test('waits for the last one', async (t) => {
    const turns = new OpenTurns()
    const open = [1, 2].map(() => ({ ...turnOf('anna'), abort: () => t.fail('there was time') }))
    for (const turn of open) turns.add(turn)
    const options = { timeoutMs: 60_000, graceMs: 0, error }
    const drained = turns.drain(options).then(() => 'drained')
    for (const turn of open) {
      const later = new Promise((resolve) => setImmediate(resolve, 'open'))
      t.equal(await Promise.race([drained, later]), 'open')
      turns.remove(turn)
    }
    t.equal(await drained, 'drained')
  })
  t.test('ends those that take too long', async (t) => {
    const turns = new OpenTurns()
    const told: GatewayError[] = []
    const turn = {
      ...turnOf('anna'),
      abort: (reason: GatewayError): void => {
        told.push(reason)
        turns.remove(turn)
      }
    }
    turns.add(turn)
    await turns.drain({ timeoutMs: 1, graceMs: 60_000, error })
    t.strictSame(told, [error])
  })
  t.test('gives way to a later call', async (t) => {
    const turns = new OpenTurns()
    const told: GatewayError[] = []
    turns.add({ ...turnOf('anna'), abort: (reason) => void told.push(reason) })
    const patient = turns.drain({ timeoutMs: 10, graceMs: 60_000, error })
    const hasty = turns.drain({ timeoutMs: 20, graceMs: 20, error })
    await patient
    t.same(told, [])
    await hasty
    t.equal(told.length, 1)
  })
  t.test('does not wait for ever for those that do not end even then', async (t) => {
    const turns = new OpenTurns()
    let told = 0
    turns.add({ ...turnOf('anna'), abort: () => void (told += 1) })
    await turns.drain({ timeoutMs: 1, graceMs: 1, error })
    t.equal(told, 1)
    t.equal(turns.size, 1)
  })
  t.end()
})
