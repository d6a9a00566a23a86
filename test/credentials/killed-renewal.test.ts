import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CredentialRefresher } from '../../src/credentials/refresher.ts'
import { createCredentialSource } from '../../src/credentials/sources.ts'
import { makeCliDatabase } from '../helper/cli-database.ts'
import { FakeAuthServer } from '../helper/fake-auth-server.ts'
import { isNightly } from '../helper/nightly.ts'
import { recordedLog } from '../helper/recorded-log.ts'
import { credentialSettings } from '../helper/stored-credential.ts'
import { undiciJsonCall } from '../helper/undici-json-call.ts'

t.setTimeout(300_000) // a process for every step, on a machine that may be busy

const SCRIPT = join(import.meta.dirname, '../helper/killed-renewal.ts')
const MAX_STEPS = 60
/** By day each kind is killed at every third step, and all kinds together at each. */
const STRIDE = isNightly ? 1 : 3
const expired = new Date(Date.now() - 1000).toISOString()
const tokens = { accessToken: 'a1', refreshToken: 'r1', expiresAt: expired }

type Settings = Parameters<typeof credentialSettings>[0]

/** Where a sign-in is kept that has to be renewed. */
const Kinds: Readonly<Record<string, (dir: string) => Settings>> = {
  'a file': (dir) => {
    writeFileSync(join(dir, 'token.json'), JSON.stringify(tokens), { mode: 0o600 })
    return { credsFile: join(dir, 'token.json') }
  },
  'a file that may not be written': (dir) => {
    writeFileSync(join(dir, 'token.json'), JSON.stringify(tokens))
    chmodSync(join(dir, 'token.json'), 0o400)
    return { credsFile: join(dir, 'token.json') }
  },
  'a database': (dir) => {
    const path = join(dir, 'data.sqlite3')
    const { accessToken: access_token, refreshToken: refresh_token, expiresAt: expires_at } = tokens
    const token = { access_token, refresh_token, expires_at, region: 'us-east-1' }
    makeCliDatabase(path, { auth: { 'kirocli:social:token': token }, isWal: true })
    return { cliDbFile: path }
  }
}

async function killedRenewal(t: Test, dir: string, kind: string, killAt: number) {
  mkdirSync(dir)
  const server = await new FakeAuthServer().listen()
  t.teardown(() => server.close())
  const settings = { ...Kinds[kind]?.(dir), stateDir: join(dir, 'state') }
  const task = JSON.stringify({ killAt, authUrl: server.url, settings })
  const child = spawn(process.execPath, [SCRIPT, task], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const [, signal] = (await once(child, 'close')) as [number | null, string | null]
  return { server, settings, said, isDone: signal === null }
}

/** What a new process makes of what the killed one has left. */
async function goOn(t: Test, { server, settings }: Awaited<ReturnType<typeof killedRenewal>>) {
  const { call, close } = undiciJsonCall()
  const all = credentialSettings(settings)
  const { log, text } = recordedLog()
  const source = createCredentialSource(all, log)
  if (source === null) throw new Error('no source')
  const hosts = { apiUrl: null, managementUrl: null, authUrl: server.url, oidcUrl: server.url }
  const upstream = { ...hosts, userAgent: 'ua' }
  const parts = { source, settings: all, upstream, call, log, onChange: () => {} }
  const refresher = new CredentialRefresher(parts)
  t.teardown(async () => {
    await refresher.close()
    await close()
  })
  await refresher.start()
  return { refresher, text }
}

function filesBelow(dir: string): readonly string[] {
  if (!existsSync(dir)) return [] // not made yet
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

for (const [index, kind] of Object.keys(Kinds).entries()) {
  t.test(`a gateway is killed while it renews: ${kind}`, async (t) => {
    const dir = t.testdir()
    let lost = 0
    let killAt = isNightly ? 1 : 1 + index
    for (; killAt < MAX_STEPS; killAt += STRIDE) {
      const folder = join(dir, String(killAt))
      const killed = await killedRenewal(t, folder, kind, killAt)
      const { server, said, isDone } = killed
      const files = filesBelow(folder)
      for (const path of files.filter((one) => one.endsWith('.json'))) {
        t.ok(JSON.parse(readFileSync(path, 'utf8')), `${killAt}: ${path} is whole`)
      }
      for (const path of filesBelow(join(folder, 'state'))) {
        t.equal(statSync(path).mode & 0o077, 0, `${killAt}: ${path} is private`)
      }
      const isKept = files.some((path) => {
        return !path.endsWith('.tmp') && readFileSync(path, 'latin1').includes('"r2"')
      })
      const isAcknowledged = said.includes('a2')
      if (isAcknowledged) t.ok(isKept, `${killAt}: what was used is kept`)
      if (isDone) break
      const { refresher } = await goOn(t, killed)
      if (!isKept) lost += 1
      else {
        t.match(refresher.current(), { token: 'a2' }, `${killAt}: goes on with what was kept`)
        t.match(await refresher.refused('a2'), { token: 'a3' }, `${killAt}: and renews that`)
        t.same(
          server.calls.map(({ body }) => body['refreshToken']),
          ['r1', 'r2'],
          `${killAt}: each token was presented once`
        )
      }
      await refresher.close()
    }
    t.ok(killAt > 8 && killAt < MAX_STEPS, `${killAt} steps`)
    t.ok(lost <= 10, `${lost} steps before the disk had it: nobody had used the token`)
  })
}
