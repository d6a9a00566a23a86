import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../helper/free-port.ts'
import { CLIENT, type IdentityProvider } from '../helper/identity-provider.ts'

interface Teardown {
  teardown(close: () => unknown): void
}

/** Programs of Debian's PostgreSQL; `null` where there are none. */
export function findPostgres(): string | null {
  return globSync('/usr/lib/postgresql/*/bin').toSorted().at(-1) ?? null
}

const ADMIN_KEY = 'key-of-the-administrator-of-the-reference'

export interface ReferenceOptions {
  /** The program `claude`. */
  readonly program: string
  /** A folder of `findPostgres()`. */
  readonly postgres: string
  readonly identities: IdentityProvider
  /** Base URL of its upstream, which speaks Messages. */
  readonly upstream: string
  readonly managed: object
}

/** The gateway in Claude Code's own package (`claude gateway`), with a PostgreSQL of its own. */
export class ReferenceServer {
  readonly url: string

  private constructor(url: string) {
    this.url = url
  }

  static async start(t: Teardown, options: ReferenceOptions): Promise<ReferenceServer> {
    const { program, postgres, identities, upstream, managed } = options
    const folder = mkdtempSync('/tmp/claude-reference-')
    t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
    const database = await startPostgres(t, postgres)
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    identities.open(url) // asked for at the start
    const config = join(folder, 'gateway.yaml')
    writeFileSync(
      config,
      JSON.stringify({
        listen: { host: '127.0.0.1', port, public_url: url },
        upstreams: [{ provider: 'anthropic', base_url: upstream, auth: { api_key: 'none' } }],
        oidc: {
          issuer: identities.issuer,
          client_id: CLIENT.id,
          client_secret: CLIENT.secret
        },
        session: { jwt_secret: 'secret-of-the-sessions-of-the-reference' },
        store: { postgres_url: database },
        managed: { policies: [{ match: {}, cli: managed }] },
        admin: { write_keys: [{ id: 'test', key: ADMIN_KEY }] }
      })
    )
    const child = spawn(program, ['gateway', '--config', config], {
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: folder,
        CLAUDE_GATEWAY_ALLOW_LOOPBACK: '1'
      },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    t.teardown(async () => {
      if (child.exitCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    })
    for (let looks = 0; looks < 300; looks += 1) {
      if (child.exitCode !== null) throw new Error(`the reference ended: ${output}`)
      const answer = await fetch(`${url}/.well-known/oauth-authorization-server`).catch(() => null)
      if (answer?.ok === true) return new ReferenceServer(url)
      await delay(100)
    }
    throw new Error(`the reference does not answer: ${output}`)
  }

  /** Cents a day. */
  async limit(user: string, amount: number): Promise<void> {
    const answer = await fetch(`${this.url}/v1/organizations/spend_limits`, {
      method: 'POST',
      headers: { 'x-api-key': ADMIN_KEY, 'content-type': 'application/json' },
      body: JSON.stringify({
        scope: { type: 'user', user_id: user },
        amount: String(amount),
        period: 'daily'
      })
    })
    if (!answer.ok) throw new Error(`no limit: ${answer.status} ${await answer.text()}`)
  }
}

/** Returns its address. PostgreSQL refuses to run as root, so root runs it as its own user. */
async function startPostgres(t: Teardown, programs: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'claude-postgres-'))
  const isRoot = process.getuid?.() === 0
  const run = (...words: readonly string[]): void => {
    const command = isRoot ? ['runuser', '-u', 'postgres', '--', ...words] : words
    execFileSync(command[0] ?? '', command.slice(1), { stdio: 'ignore', cwd: '/' })
  }
  chmodSync(folder, 0o777)
  const data = join(folder, 'data')
  const port = await freePort()
  run(join(programs, 'initdb'), '-D', data, '-A', 'trust', '-U', 'gateway', '--no-sync')
  const settings = `-p ${port} -k ${folder} -c listen_addresses=127.0.0.1 -c fsync=off`
  const control = join(programs, 'pg_ctl')
  run(control, '-D', data, '-o', settings, '-l', join(folder, 'log'), '-w', 'start')
  t.teardown(() => {
    if (existsSync(data)) run(control, '-D', data, '-m', 'immediate', 'stop')
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  })
  return `postgres://gateway@127.0.0.1:${port}/postgres`
}
