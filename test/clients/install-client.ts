import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Client } from './client.ts'

const INSTALL_TIMEOUT_MS = 300_000
const FLAGS = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier']

/** What of a client is needed to install it. */
export type Installed = Pick<Client, 'id' | 'name' | 'packages'>

/** Installs a client below `root` unless it is there already; resolves with its folder. */
export async function installClient(client: Installed, root: string): Promise<string> {
  const folder = join(root, client.id)
  const marker = join(folder, 'installed.json')
  const wanted = JSON.stringify(client.packages)
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return folder
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}\n')
  await npmInstall(client, folder)
  writeFileSync(marker, wanted)
  return folder
}

async function npmInstall({ name, packages }: Installed, folder: string): Promise<void> {
  const wanted = Object.entries(packages).map(([name, version]) => `${name}@${version}`)
  const child = spawn('npm', ['install', '--prefix', folder, ...FLAGS, ...wanted], {
    cwd: folder,
    env: ownEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: INSTALL_TIMEOUT_MS
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  }
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${name} could not be installed: ${output.slice(-1000)}`)
}

/** The user's environment without what `npm run` adds: it would name this repository as the place to install to. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env)
  return Object.fromEntries(
    entries.filter(([name]) => !/^npm_(?:package|lifecycle|config_local)/.test(name))
  )
}
