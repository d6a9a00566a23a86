import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FleetFolder } from '../../src/fleet/fleet-folder.ts'

t.test('a lock that is a link is not written through', async (t) => {
  const dir = t.testdir({ state: { 'fleet.lock': t.fixture('symlink', '../mine') }, mine: '' })
  await t.rejects(FleetFolder.take(join(dir, 'state'), 0), {
    code: 'GW_CONFIG_INVALID',
    message: /fleet\.lock is a symbolic link/
  })
  t.equal(readFileSync(join(dir, 'mine'), 'utf8'), '')
})
