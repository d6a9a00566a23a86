import t from 'tap'
import { runKiroGateway } from '../helper/cli-process.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, isReady, problemsOf, until } from '../helper/fleet-team.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test('kiro-gateway fleet', { skip: whyNoEngine() }, async (t) => {
  // Once the lease has run out, nobody is waited for any more.
  const settings = { FLEET_REPLICAS: '2', FLEET_LEASE: '90' }
  const team = await FleetTeam.start(t, { names: ['a'], max: 10, env: settings, fromSources: true })
  const env = {
    ...settings,
    FLEET_URL: team.engine.url,
    FLEET_SECRET: 'secret-of-the-fleet-for-all-tests'
  }
  const run = (...args: readonly string[]) =>
    runKiroGateway(['fleet', ...args], { env, cwd: team.get('a').folder })
  const fleet = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args)
    t.equal(code, 0, stderr)
    return stdout
  }
  /** What it says of the fleet while the gateway is heard of, which a busy machine may keep silent for some beats. */
  const status = async (...args: readonly string[]): Promise<string> => {
    for (;;) {
      const said = await fleet('status', ...args)
      if (!/not for [\d.]+ s|"silent":true/.test(said)) return said
    }
  }
  await until(async () => (await problemsOf(team.get('a'))).includes('is waiting for all'))
  t.match(
    await status(),
    /^learning, 10 connections, 1 of 2 gateways\nera 1, 0 connections free, .*\nNAME .*\na +0 +\d +now\n/
  )
  await fleet('open', '--yes')
  await until(() => isReady(team.get('a')))
  t.match(JSON.parse(await status('--json')), {
    fleet: 'kiro',
    phase: 'open',
    era: 1,
    max: 10,
    members: [{ name: 'a', connections: Number, granted: Number, returned: 0, silent: false }],
    missing: []
  })
  const text = async (path: string): Promise<string> =>
    (await fetch(`${team.get('a').url}${path}`)).text()
  let [readiness, metrics] = [JSON.parse('{}'), '']
  await until(async () => {
    readiness = JSON.parse(await text('/readyz'))
    metrics = await text('/metrics')
    // A connection may be leased or returned between the two, and a busy machine keeps a gateway silent for a moment.
    const [member] = readiness.fleet.members ?? []
    return member?.silent === false && metrics.includes(`fleet_lease ${member.connections}\n`)
  })
  // Half of them, and one or two that it has in use or ready.
  const lease: number = readiness.fleet.members[0].connections
  t.ok(lease >= 5 && lease < 10, `${lease} connections`)
  t.match(readiness, {
    status: 'ready',
    fleet: {
      name: 'kiro',
      member: 'a',
      stage: 'serving',
      phase: 'open',
      era: 1,
      last_contact_ms: Number,
      max_connections: 10,
      free: 10 - lease,
      replicas: 2,
      members: [{ name: 'a', silent: false }],
      awaited: []
    }
  })
  for (const line of [
    'fleet_phase{phase="open"} 1',
    'fleet_phase{phase="joining"} 0',
    'fleet_members{state="present"} 1',
    'fleet_replicas 2',
    'fleet_era 1',
    `fleet_lease ${lease}`,
    `fleet_free ${10 - lease}`,
    `fleet_granted_total ${lease}`,
    'fleet_returned_total 0'
  ]) {
    t.match(metrics, `kiro_gateway_${line}\n`)
  }
  t.match(metrics, /fleet_contact_seconds [0-9.]+\n/)
  t.match(metrics, /fleet_engine_commands_total [1-9][0-9]*\n/)
  const unknown = /No gateway of the fleet is called "nobody"\. There are: a\./
  t.match(await run('forget', 'nobody', '--yes'), { code: 2, stderr: unknown })
  await fleet('forget', 'a', '--yes')
  t.match(await run('forget'), { code: 2 })
  t.match(await run('close'), { code: 2 })
  await team.engine.stop()
  t.match(await run('status'), { code: 2, stderr: /Valkey at FLEET_URL does not answer/ })
})
