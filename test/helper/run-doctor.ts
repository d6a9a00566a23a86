import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Report } from '../../src/cli/doctor/report.ts'
import type { ProbeRun } from '../../src/cli/doctor/probe/ask-probes.ts'

const ENTRY = fileURLToPath(new URL('../../src/start.js', import.meta.url))

/** What it must never show. */
export const SECRETS = {
  accessToken: 'secret-access-token-0123456789',
  refreshToken: 'secret-refresh-token-0123456789',
  apiKey: 'secret-client-key-0123456789',
  password: 'secret-proxy-password'
} as const

interface Teardown {
  teardown(close: () => unknown): void
}

/** A folder to run it in, with a sign-in that a simulator takes. */
export class DoctorRoom {
  readonly folder: string
  readonly credsFile: string
  readonly stateDir: string

  constructor(t: Teardown) {
    this.folder = mkdtempSync(join(tmpdir(), 'doctor-test-'))
    t.teardown(() => rmSync(this.folder, { recursive: true, force: true }))
    this.credsFile = join(this.folder, 'kiro-auth-token.json')
    this.stateDir = join(this.folder, 'state')
    mkdirSync(this.stateDir, { mode: 0o700 })
    this.signIn()
  }

  /** Writes the token file of the Kiro IDE. */
  signIn(changes: Readonly<Record<string, unknown>> = {}): void {
    const file = {
      accessToken: SECRETS.accessToken,
      refreshToken: SECRETS.refreshToken,
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/TEST',
      region: 'us-east-1',
      authMethod: 'social',
      provider: 'Github',
      ...changes
    }
    this.write('kiro-auth-token.json', JSON.stringify(file), 0o600)
  }

  write(name: string, text: string, mode = 0o600): string {
    const path = join(this.folder, name)
    writeFileSync(path, text, { mode })
    return path
  }

  /** Settings with which all is well as long as `upstreamUrl` is. */
  settings(upstreamUrl: string): Record<string, string> {
    return {
      KIRO_CREDS_FILE: this.credsFile,
      KIRO_API_URL: upstreamUrl,
      KIRO_AUTH_URL: upstreamUrl,
      STATE_DIR: this.stateDir,
      SERVER_PORT: '0',
      PROXY_API_KEY: SECRETS.apiKey
    }
  }
}

export interface DoctorRun {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface DoctorOptions {
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  /** Program and arguments that start it, where it is not started directly. */
  readonly launcher?: readonly string[]
  readonly input?: string
}

/** Runs the real program. */
export async function runDoctor(options: DoctorOptions): Promise<DoctorRun> {
  const { folder, env, args = [], launcher = [], input = '' } = options
  const command = [...launcher, process.execPath, ENTRY, 'doctor', ...args]
  const child = spawn(command[0] ?? '', command.slice(1), {
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '', HOME: folder, ...env }
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  child.stdin.on('error', () => {}) // it need not read
  child.stdin.end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...output }
}

export type DoctorJson = Report & { readonly probes?: ProbeRun }

export function reportOf({ stdout, stderr }: DoctorRun): DoctorJson {
  try {
    return JSON.parse(stdout) as DoctorJson
  } catch {
    throw new Error(`no report:\n${stdout}\n${stderr}`)
  }
}
