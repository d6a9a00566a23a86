import t from 'tap'
import { PanelSessions } from '../../src/control/panel-sessions.ts'
import type { Config } from '../../src/config/settings.ts'
import type { ToWorker } from '../../src/ipc/messages.ts'

const ENDED = { id: 'a-session', expiresAt: Date.now() + 3_600_000 }

async function secretOf(fleet: object): Promise<string> {
  const sessions = new PanelSessions(() => {})
  await sessions.start({ fleet } as Pick<Config, 'fleet'>)
  return sessions.secret
}

t.test('each start has a secret of its own, and all gateways of a fleet have one', async (t) => {
  const alone = [await secretOf({ url: null }), await secretOf({ url: null })]
  const [secret, other] = ['s'.repeat(32), 'r'.repeat(32)]
  const fleet = { url: 'redis://127.0.0.1:1', name: 'one', secrets: [secret], secretFile: null }
  const shared = await secretOf(fleet)
  t.equal(await secretOf({ ...fleet, secrets: [secret, other] }), shared, 'the first counts')
  const all = [
    ...alone,
    shared,
    await secretOf({ ...fleet, name: 'two' }),
    await secretOf({ ...fleet, secrets: [other] })
  ]
  t.equal(new Set(all).size, 5)
  for (const one of all) t.match(one, /^[0-9a-f]{64}$/)
})

t.test(
  'a session ends once in all workers, and the fleet hears of those that end here',
  async (t) => {
    const told: ToWorker[] = []
    let shared = 0
    const sessions = new PanelSessions((message) => told.push(message))
    sessions.share(() => {
      shared += 1
    })
    sessions.end(ENDED)
    sessions.adopt(ENDED)
    sessions.adopt({ ...ENDED, id: 'of-another-gateway' })
    t.same(told, [
      { type: 'session.ended', ended: ENDED },
      { type: 'session.ended', ended: { ...ENDED, id: 'of-another-gateway' } }
    ])
    t.equal(shared, 1)
    t.equal(sessions.ended.length, 2, 'a worker that starts later is told')
  }
)
