import { once } from 'node:events'
import { createServer } from 'node:http'
import t, { type Test } from 'tap'
import { installationOf } from '../../src/cli/installation.ts'
import { compareVersions, updateSteps } from '../../src/cli/update.ts'
import { version } from '../../src/shared/version.ts'
import { runCommandHere } from '../helper/command-here.ts'

/** A registry whose newest version is this; `null`: the package is not there. */
async function registryWith(t: Test, newest: string | null): Promise<string> {
  const server = createServer((request, response) => {
    t.equal(request.url, '/kiro-gateway/latest')
    response.statusCode = newest === null ? 404 : 200
    response.end(JSON.stringify({ version: newest }))
  })
  t.teardown(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
}

function update(npm_config_registry: string, ...args: readonly string[]) {
  return runCommandHere(['update', ...args], { cwd: '/', env: { npm_config_registry } })
}

/** The installation of a program in this place, beside these files. */
function kindOf(entry: string, ...there: readonly string[]) {
  return installationOf({ entry, cwd: '/home/a/app', exists: (path) => there.includes(path) })
}

t.test('kiro-gateway update', async (t) => {
  const newer = await update(await registryWith(t, '99.1.0'))
  t.match(newer, { code: 0, stdout: `This is version ${version}, ` })
  t.match(newer.stdout, /Version 99\.1\.0 is newer\..*\nTo update:\n {2}\S/)
  const same = await update(await registryWith(t, version))
  t.match(same.stdout, /It is the newest/)
  t.notMatch(same.stdout, /To update/)
  t.match((await update(await registryWith(t, null))).stdout, /has no published version/)
  const json = await update(await registryWith(t, '99.1.0'), '--json')
  t.match(JSON.parse(json.stdout), { version, newest: '99.1.0', steps: [String] })
  const nobody = await update('http://127.0.0.1:9')
  t.match(nobody, {
    code: 0,
    stdout: /not known: 127\.0\.0\.1:9 cannot be asked\. It refused the connection/
  })
  for (const registry of ['registry.example.com', 'file:///srv/packages'])
    t.match(await update(registry), { code: 2, stderr: /npm_config_registry must be an address/ })
})

t.test('installationOf()', async (t) => {
  const inside = 'node_modules/kiro-gateway/src/start.js'
  t.equal(kindOf(`/home/a/.npm/_npx/0/${inside}`), 'npx')
  t.equal(kindOf(`/usr/lib/${inside}`), 'global')
  t.equal(installationOf({ entry: `/usr/lib/${inside}`, cwd: '/', exists: () => false }), 'global')
  t.equal(kindOf(`/home/a/app/${inside}`), 'project')
  t.equal(kindOf('/home/a/kiro/src/start.js', '/home/a/kiro/.git'), 'clone')
  t.equal(kindOf('/app/src/start.js', '/.dockerenv'), 'image')
  t.equal(kindOf('/app/src/start.js'), 'copy')
})

t.test('updateSteps()', async (t) => {
  for (const kind of ['npx', 'global', 'project'] as const) {
    t.match(updateSteps(kind, false).join('\n'), /kiro-gateway@latest/)
    t.match(updateSteps(kind, true).join('\n'), /npm pack/, 'of a package that no registry has')
    t.notMatch(updateSteps(kind, true).join('\n'), '@latest')
  }
  for (const kind of ['global', 'project', 'clone', 'copy'] as const)
    t.match(updateSteps(kind, true).join('\n'), 'kiro-gateway service restart')
})

t.test('compareVersions()', async (t) => {
  t.ok(compareVersions('1.10.0', '1.9.9') > 0)
  t.ok(compareVersions('1.0.0', '1.0.0-rc.1') > 0)
  t.ok(compareVersions('0.1.0', '1.0.0') < 0)
  t.equal(compareVersions('1.2.3', '1.2.3'), 0)
})
