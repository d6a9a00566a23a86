import t from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import type { AuditActions } from '../../../src/control/panel/audit-actions.ts'
import { KeyActions } from '../../../src/control/panel/key-actions.ts'
import type { PanelAnswer, PanelCall } from '../../../src/ipc/panel.ts'
import { keysPath, readKeys } from '../../../src/keys/key-store.ts'
import { NO_KNOWN_KEYS } from '../../../src/keys/key.ts'

function callOf(more: Partial<PanelCall>): PanelCall {
  return {
    action: 'keys.add',
    user: { role: 'operator', name: 'operator', key: null, via: 'key', address: '127.0.0.1' },
    params: {},
    query: {},
    body: {},
    ifMatch: null,
    baseUrl: 'http://127.0.0.1',
    ...more
  }
}

function bodyOf(answer: PanelAnswer) {
  return JSON.parse(answer.name === 'answer' ? answer.body : '{}')
}

t.test('a change of keys that the gateway cannot read is answered with a warning', async (t) => {
  const stateDir = t.testdir({})
  const outcome = { isRead: true }
  const read = async () => (await readKeys(keysPath(stateDir)))?.keys ?? []
  const known = { isKeyRequired: true, keys: await read() }
  const audit: Pick<AuditActions, 'note'> = { note: async () => {} }
  const loaded = loadConfig({ STATE_DIR: stateDir, PROXY_API_KEY: 'a-key-of-the-operator' }, [])
  if (loaded.name !== 'config') throw new Error('no config')
  const { config } = loaded
  const panel = new KeyActions({
    keys: {
      get knownKeys() {
        return { ...NO_KNOWN_KEYS, ...known }
      },
      bookProblem: null,
      usageOf: async () => [],
      seenAt: () => null,
      look: async () => {
        known.keys = await read()
        return outcome.isRead
      }
    },
    config: () => config,
    audit,
    searcher: { ask: async () => null }
  })
  const added = bodyOf(await panel.add(callOf({ body: { name: 'anna' } })))
  t.equal(added.warning, undefined)
  outcome.isRead = false
  const revoked = bodyOf(await panel.revoke(callOf({ params: { id: added.key.id } })))
  t.equal(revoked.key.state, 'revoked')
  t.match(revoked.warning, /saved but not in force yet/)
  t.match(bodyOf(await panel.add(callOf({ body: { name: 'ben' } }))).warning, /keys\.json/)
})
