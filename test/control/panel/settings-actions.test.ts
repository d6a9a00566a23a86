import t from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { SettingsActions } from '../../../src/control/panel/settings-actions.ts'

function isWanted({ name }: { readonly name: string }): boolean {
  return name === 'NO_PROXY'
}

t.test('a password in an address is hidden, also one that contains @ or a space', (t) => {
  for (const [address, shown] of [
    ['http://user:p@ss@host:8080/x', 'http://***@host:8080/x'],
    ['http://user:p ss@host', 'http://***@host'],
    ['http://host/a@b', 'http://host/a@b']
  ] as const) {
    const loaded = loadConfig({ NO_PROXY: address }, [])
    if (loaded.name !== 'config') throw new Error('no config')
    const { config } = loaded
    const operations = {
      reload: () => ({ needRestart: [], warnings: [] }),
      next: () => config,
      sources: () => ({ of: () => 'file' as const, file: null }),
      restart: () => {},
      canRestart: () => true,
      isEnding: () => false
    }
    const panel = new SettingsActions({
      config: () => config,
      operations: () => operations,
      audit: { note: async () => {} }
    })
    const listed = panel.list()
    const { settings } = JSON.parse(listed.name === 'answer' ? listed.body : '{}')
    t.equal(settings.find(isWanted).value, shown)
  }
  t.end()
})
