import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, isReady, problemsOf, until } from '../helper/fleet-team.ts'

t.setTimeout(240_000) // real processes, on a machine that may be busy

const run = promisify(execFile)
const ENTRY = fileURLToPath(new URL('../../src/start.js', import.meta.url))

t.test('kiro-gateway fleet', { skip: whyNoEngine('valkey-server') }, async (t) => {
  const team = await FleetTeam.start(t, {
    names: ['a'],
    max: 10,
    env: { FLEET_REPLICAS: '2' }
  })
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: team.get('a').folder,
    FLEET_URL: team.engine.url,
    FLEET_REPLICAS: '2',
    FLEET_SECRET: 'secret-of-the-fleet-for-all-tests'
  }
  const fleet = async (...args: readonly string[]) =>
    (await run(process.execPath, [ENTRY, 'fleet', ...args], { env, cwd: team.get('a').folder }))
      .stdout
  await until(async () => (await problemsOf(team.get('a'))).includes('waits until all'))
  t.match(await fleet('status'), /^learning, 10 connections, 1 of 2 gateways\nNAME .*\na +0/)
  await fleet('open', '--yes')
  await until(() => isReady(team.get('a')))
  t.match(JSON.parse(await fleet('status', '--json')), {
    phase: 'open',
    members: [{ name: 'a', silent: false }],
    missing: []
  })
  await fleet('forget', 'nobody', '--yes')
  await t.rejects(fleet('forget'), { code: 2 })
  await t.rejects(fleet('close'), { code: 2 })
})
