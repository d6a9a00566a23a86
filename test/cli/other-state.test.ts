import t from 'tap'
import { otherStateNote } from '../../src/cli/service/other-state.ts'

t.test('root is told that a system service has keys of its own', async (t) => {
  const entry = '/usr/lib/node_modules/kiro-gateway/src/start.js'
  const stateDir = '/root/.local/state/kiro-gateway'
  const place = { isRoot: true, hasService: true, stateDir, entry }
  t.equal(
    otherStateNote(place, 'key add anna'),
    'This is in /root/.local/state/kiro-gateway. The system service has its own in /var/lib/kiro-gateway. For the service, run:\n' +
      '  runuser -u kiro-gateway -- env --chdir=/var/lib/kiro-gateway STATE_DIR=/var/lib/kiro-gateway ENV_FILE=/etc/kiro-gateway/.env kiro-gateway key add anna'
  )
  const clone = otherStateNote({ ...place, entry: '/srv/kiro/src/start.js' }, 'login')
  t.match(clone, / node \/srv\/kiro\/src\/start\.js login$/, 'a path that holds in its folder')
  for (const other of [
    { isRoot: false },
    { hasService: false },
    { stateDir: '/var/lib/kiro-gateway' } // of the service
  ])
    t.equal(otherStateNote({ ...place, ...other }, 'login'), null)
})
