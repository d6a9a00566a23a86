import { EventEmitter, once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { CredentialRefresher } from '../../src/credentials/refresher.ts'
import type { Config } from '../../src/config/settings.ts'
import { createCredentialSource } from '../../src/credentials/sources.ts'
import type { CredentialState } from '../../src/credentials/sign-in.ts'
import { FakeAuthServer } from './fake-auth-server.ts'
import { FakeClock } from './fake-clock.ts'
import { recordedLog } from './recorded-log.ts'
import { credentialSettings } from './stored-credential.ts'
import { undiciJsonCall } from './undici-json-call.ts'

export const START = '2026-09-01T00:00:00Z'

/** A token file's content: a desktop sign-in whose token `a1` lives for so many minutes from `START`. */
export function ideFile(minutes: number, changes: Record<string, unknown> = {}) {
  const expiresAt = new Date(Date.parse(START) + minutes * 60_000).toISOString()
  return { accessToken: 'a1', refreshToken: 'r1', expiresAt, ...changes }
}

export interface RigOptions {
  readonly file?: Record<string, unknown>
  readonly settings?: Partial<Config['credentials']>
  /** An external provider is asked where the file says, and not at the fake one. */
  readonly namesEndpoint?: boolean
}

/** No delay is drawn by chance. */
function never(): number {
  return 0
}

/** A refresher over real files and a real token service, with time that a test moves. Not started. */
export async function credentialRig(
  t: Test,
  { file = ideFile(60), settings = {}, namesEndpoint = false }: RigOptions = {}
) {
  const server = await new FakeAuthServer().listen()
  const { call, close } = undiciJsonCall()
  const dir = t.testdir({ 'token.json': JSON.stringify(file) })
  const clock = new FakeClock(START)
  const recorded = recordedLog()
  const states: CredentialState[] = []
  const changes = new EventEmitter()
  const refreshers: CredentialRefresher[] = []
  t.teardown(async () => {
    for (const refresher of refreshers) await refresher.close()
    server.close()
    await close()
  })
  const path = join(dir, 'token.json')
  const all = credentialSettings({ credsFile: path, stateDir: join(dir, 'state'), ...settings })
  const upstream = {
    apiUrl: null,
    managementUrl: null,
    authUrl: server.url,
    oidcUrl: server.url,
    idpUrl: namesEndpoint ? null : `${server.url}/idp`,
    userAgent: 'ua'
  }
  /** Another one over the same files, as after a restart or of another gateway. */
  const create = (own: Partial<Config['credentials']> = {}): CredentialRefresher => {
    const mine = { ...all, ...own }
    const source = createCredentialSource(mine, recorded.log)
    if (source === null) throw new Error('nothing configured')
    const { log } = recorded
    const onChange = (): void => {
      states.push(refresher.state())
      changes.emit('change')
    }
    const parts = { source, settings: mine, upstream, call, log, onChange, clock, random: never }
    const refresher = new CredentialRefresher(parts)
    refreshers.push(refresher)
    return refresher
  }
  return {
    server,
    clock,
    dir,
    path,
    states,
    create,
    refresher: create(),
    text: recorded.text,
    changed: () => once(changes, 'change'),
    readFile: () => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>,
    writeFile: (content: unknown) => writeFileSync(path, JSON.stringify(content))
  }
}
