import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createServer } from 'node:http'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '../..')
const CHANGELOG =
  '# Changelog\n\n## 0.9.0 (not released)\n\n- Better.\n\n## 0.8.0 (2026-01-01)\n\n- Good.\n'

/** Repository of a small project; `check` is its script of that name. */
async function repository(t: Test, check: string) {
  const named = { 'kustomization.yaml': 'newTag: 0.9.0\n' }
  const folder = t.testdir({
    'package.json': JSON.stringify({
      name: 'a',
      version: '0.9.0',
      type: 'module',
      scripts: { generate: 'true', check, test: 'true' }
    }),
    'CHANGELOG.md': CHANGELOG,
    docker: {
      Dockerfile: 'ARG NODE_IMAGE=node:26.1.0-slim\nFROM ${NODE_IMAGE}\n',
      kubernetes: { overlay: named, 'README.md': 'a:0.9.0\n' }
    }
  })
  copyFileSync(join(ROOT, 'release.ts'), join(folder, 'release.ts'))
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@example.com',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@example.com',
    GIT_CONFIG_GLOBAL: '/dev/null',
    npm_config_update_notifier: 'false',
    npm_config_cache: join(folder, '.git/npm')
  }
  const git = async (...args: readonly string[]): Promise<string> =>
    (await run('git', args, { cwd: folder, env })).stdout.trim()
  await git('init', '--quiet')
  await git('add', '--all')
  await git('commit', '--quiet', '--message', 'first')
  const registry = await registryOf(t)
  const release = (...args: readonly string[]) =>
    run(process.execPath, ['--no-warnings', 'release.ts', '--registry', registry.url, ...args], {
      cwd: folder,
      env
    })
  const read = (path: string): string => readFileSync(join(folder, path), 'utf8')
  return { folder, git, release, read, registry }
}

/** Registry like Docker Hub: a tag is read with a token, which is for everybody. */
async function registryOf(t: Test) {
  const registry = { url: '', index: indexFor('amd64', 'arm64') }
  const server = createServer(({ url = '', headers }, response) => {
    const isSignIn = url.startsWith('/token?service=hub&scope=pull')
    if (isSignIn) response.end(JSON.stringify({ token: 'for-everybody' }))
    else if (url !== '/v2/library/node/manifests/26.1.0-slim') response.writeHead(404).end()
    else if (headers.authorization === 'Bearer for-everybody') response.end(registry.index)
    else {
      const realm = `Bearer realm="${registry.url}/token",service="hub",scope="pull"`
      response.writeHead(401, { 'www-authenticate': realm }).end('{}')
    }
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  registry.url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  return registry
}

function indexFor(...architectures: readonly string[]): string {
  return JSON.stringify({
    manifests: architectures.map((architecture) => ({ platform: { architecture } }))
  })
}

t.test('npm run release', async (t) => {
  const { git, release, read, registry } = await repository(t, 'true')
  const { stdout } = await release('1.0.0')
  t.match(stdout, /tagged v1\.0\.0[^]*Nothing is pushed[^]*- Better\./)
  t.match(read('CHANGELOG.md'), /\n## 1\.0\.0 \(\d{4}-\d\d-\d\d\)\n\n- Better\.\n\n## 0\.8\.0/)
  t.equal(JSON.parse(read('package.json')).version, '1.0.0')
  t.equal(read('docker/kubernetes/overlay/kustomization.yaml'), 'newTag: 1.0.0\n')
  const digest = createHash('sha256').update(registry.index).digest('hex')
  t.match(read('docker/Dockerfile'), `ARG NODE_IMAGE=node:26.1.0-slim@sha256:${digest}\nFROM`)
  t.equal(await git('status', '--porcelain'), '')
  t.equal(await git('log', '--format=%s', '-1'), 'chore(release): 1.0.0')
  t.equal(await git('tag', '--list', '--format=%(contents)'), '1.0.0\n\n- Better.')
  await t.rejects(release('1.1.0'), { message: /no section that is "\(not released\)"/ })
})

t.test('a release is refused', async (t) => {
  const { folder, git, release, read, registry } = await repository(t, 'exit 1')
  for (const none of [undefined, '1.0.0-rc.1', 'v1.0.0'])
    await t.rejects(release(...(none === undefined ? [] : [none])), {
      message: /Say which version/
    })
  await t.rejects(release('0.0.9'), { message: /0\.0\.9 is older than/ })
  writeFileSync(join(folder, 'new.txt'), '')
  await t.rejects(release('1.0.0'), { message: /Commit or remove these first:\n\?\? new\.txt/ })
  t.equal(read('CHANGELOG.md'), CHANGELOG, 'before anything is changed')
  await git('clean', '--quiet', '--force')
  const { index } = registry
  registry.index = indexFor('amd64')
  await t.rejects(release('1.0.0'), {
    message: /digest of node:26\.1\.0-slim is not known: .* not there for amd64 and arm64/
  })
  registry.index = index
  await t.rejects(release('1.0.0'), { message: /npm run failed, so nothing is committed/ })
  t.equal(await git('log', '--format=%s'), 'first', 'of a red check')
  t.equal(await git('tag', '--list'), '')
})
