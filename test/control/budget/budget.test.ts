import t from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { Budget } from '../../../src/control/budget/budget.ts'
import { type LeaseGrant, NO_REPORT } from '../../../src/ipc/messages.ts'
import { ManualClock } from '../../helper/manual-clock.ts'

function stand(maxConnections: number | null) {
  const sent: [string, LeaseGrant][] = []
  const clock = new ManualClock()
  const budget = new Budget({
    size: {
      maxConnections,
      maxKeepalive: 5,
      maxWaiting: 10,
      maxRequestsPerMinute: null,
      workers: 2
    },
    send: (...message) => sent.push(message),
    clock
  })
  return { budget, sent, clock, turn: () => clock.turn() }
}

t.test('Budget', (t) => {
  t.test('sends each member one message per turn, the newest', (t) => {
    const { budget, sent, turn } = stand(10)
    budget.record({ type: 'join', member: 'w1', slot: 0 })
    budget.record({ type: 'join', member: 'w2', slot: 1 })
    t.same(sent, [])
    turn()
    t.match(sent, [
      ['w1', { granted: 5, keepAlive: 3 }],
      ['w2', { granted: 5, keepAlive: 2 }]
    ])
    turn()
    t.equal(sent.length, 2)
    t.end()
  })
  t.test('sends nothing to a member that has left', (t) => {
    const { budget, sent, turn } = stand(10)
    budget.record({ type: 'join', member: 'w1', slot: 0 })
    budget.record({ type: 'stopped', member: 'w1' })
    budget.record({ type: 'left', member: 'w1' })
    turn()
    t.same(sent, [])
    t.equal(budget.state().unleased, 10)
    t.end()
  })
  t.test('tells who has what', (t) => {
    const { budget } = stand(10)
    budget.record({ type: 'join', member: 'w1', slot: 0 })
    const report = { ...NO_REPORT, seq: 1, granted: 5, waiting: 2 }
    budget.record({ type: 'report', member: 'w1', report })
    const lines: unknown[] = []
    const loaded = loadConfig(
      { HTTP_MAX_CONNECTIONS: '10', HTTP_MAX_KEEPALIVE_CONNECTIONS: '5' },
      []
    )
    if (loaded.name !== 'config') throw new Error('no config')
    budget.logTo({ info: (line: unknown) => void lines.push(line) }, loaded.config)
    t.match(lines, [
      'HTTP connection pool configured: max_connections=10, max_keepalive=5',
      'worker=1, max_connections=5, max_keepalive=3',
      'worker=2, max_connections=5, max_keepalive=2'
    ])
    t.match(budget.state(), { maxConnections: 10, members: [{ member: 'w1', leased: 7 }] })
    const size = {
      maxConnections: null,
      maxKeepalive: 5,
      maxWaiting: 10,
      maxRequestsPerMinute: null,
      workers: 2
    }
    budget.record({ type: 'resize', size })
    t.match(budget.state(), { maxConnections: null, unleased: null, members: [{ leased: null }] })
    t.end()
  })
  t.end()
})
