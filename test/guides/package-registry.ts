import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const ROOT = join(import.meta.dirname, '../..')
const run = promisify(execFile)

/** What the stand-in for npm's registry has: this checkout under both versions, the last being the newest. */
export const VERSIONS = ['1.0.0', '1.1.0'] as const

interface Manifest {
  readonly name: string
  readonly version: string
  readonly [member: string]: unknown
}

/**
 * Makes a package of this checkout for each version, as `npm pack` does, with the packages that it needs inside. Node itself is
 * not among these: the machine of a guide has one.
 */
export async function packVersions(folder: string): Promise<void> {
  const options = ['--silent', '--foreground-scripts=false', '--pack-destination', folder]
  const { stdout } = await run('npm', ['pack', ...options], { cwd: ROOT })
  const tarball = join(folder, stdout.trim().split('\n').at(-1) ?? '')
  const place = mkdtempSync(join(folder, 'unpacked-'))
  await run('tar', ['-xzf', tarball, '-C', place])
  const own = join(place, 'package')
  const names = neededPackages()
  for (const name of names) {
    const target = join(own, 'node_modules', name)
    mkdirSync(dirname(target), { recursive: true })
    cpSync(join(ROOT, 'node_modules', name), target, { recursive: true })
  }
  const manifest = JSON.parse(readFileSync(join(own, 'package.json'), 'utf8')) as Manifest
  const { optionalDependencies: _node, ...kept } = manifest
  for (const version of VERSIONS) {
    const written = { ...kept, version, bundleDependencies: names }
    writeFileSync(join(own, 'package.json'), JSON.stringify(written))
    await run('tar', ['-czf', tarballOf(folder, version), '-C', place, 'package'], {
      env: { ...process.env, GZIP: '-1' }
    })
    writeFileSync(join(folder, `${version}.json`), JSON.stringify(written))
  }
  rmSync(place, { recursive: true })
}

function tarballOf(folder: string, version: string): string {
  return join(folder, `kiro-gateway-${version}.tgz`)
}

/** Names below `node_modules` of what is installed with the package. */
function neededPackages(): readonly string[] {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: true; optional?: true; devOptional?: true }>
  }
  return Object.entries(packages).flatMap(([path, { dev, optional, devOptional }]) => {
    const isLeftOut = dev === true || optional === true || devOptional === true
    const name = path.replace(/^node_modules\//, '')
    return path === '' || isLeftOut || name.includes('node_modules/') ? [] : name
  })
}

/** Serves the packages that packVersions() has made, as npm's registry would; resolves with its address. */
export async function serveRegistry(folder: string): Promise<string> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', base)
    const version = VERSIONS.find((one) => pathname === `/kiro-gateway/-/${one}.tgz`)
    if (version !== undefined) return void response.end(readFileSync(tarballOf(folder, version)))
    if (pathname === '/kiro-gateway/latest')
      return void response.end(JSON.stringify(versionOf(VERSIONS[1])))
    if (pathname === '/kiro-gateway') return void response.end(JSON.stringify(packument()))
    response.statusCode = 404
    response.end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const base = `http://127.0.0.1:${address.port}`

  const versionOf = (version: string): object => {
    const packed = readFileSync(tarballOf(folder, version))
    const integrity = `sha512-${createHash('sha512').update(packed).digest('base64')}`
    return {
      ...JSON.parse(readFileSync(join(folder, `${version}.json`), 'utf8')),
      dist: { tarball: `${base}/kiro-gateway/-/${version}.tgz`, integrity }
    }
  }
  const packument = (): object => ({
    name: 'kiro-gateway',
    'dist-tags': { latest: VERSIONS.at(-1) },
    versions: Object.fromEntries(VERSIONS.map((version) => [version, versionOf(version)]))
  })
  return base
}
