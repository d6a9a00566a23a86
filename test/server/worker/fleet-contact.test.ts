import t from 'tap'
import { FleetContact } from '../../../src/server/worker/fleet-contact.ts'
import { fleetTimes, instantNow } from '../../../src/shared/elapsed.ts'
import type { FleetTold } from '../../../src/ipc/life-signs.ts'
import type { GatewayError } from '../../../src/shared/errors.ts'

t.test('a lease that is over for the primary is cut off by the worker, too', async (t) => {
  const cut: (string | null)[] = []
  const link = new FleetContact({
    stateDir: t.testdir(),
    lease: { setBar: (error: GatewayError | null) => void cut.push(error?.code ?? null) },
    pool: { trim: async () => void cut.push('trim') },
    turns: { size: 1, abort: (error: GatewayError) => void cut.push(`abort ${error.code}`) },
    readings: { giveUp: () => void cut.push('give up') },
    log: { error: () => {} }
  })
  const told: FleetTold = {
    type: 'fleet.told',
    sentAt: null,
    times: fleetTimes(60_000),
    problem: null,
    status: {
      name: 'kiro',
      member: 'a',
      stage: 'joining',
      problem: null,
      unshared: [],
      phase: null,
      era: null,
      maxConnections: 0,
      free: 0,
      replicas: 2,
      holder: null,
      members: [],
      awaited: []
    }
  }
  link.onTold(told)
  t.same(cut, [], 'it has had none')
  link.onTold({ ...told, sentAt: instantNow() })
  t.same(cut, [])
  link.onTold(told)
  t.same(cut.slice(0, 3), ['GW_FLEET_LOST', 'abort GW_FLEET_LOST', 'give up'])
})
