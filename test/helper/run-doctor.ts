import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Report } from '../../src/cli/doctor/report.ts'
import type { ProbeRun } from '../../src/cli/doctor/probe/ask-probes.ts'
import { type CliOptions, type CliOutcome, runKiroGateway } from './cli-process.ts'
import { runCommandHere } from './command-here.ts'

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

export interface DoctorOptions extends Pick<CliOptions, 'launcher' | 'input'> {
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
  readonly args?: readonly string[]
}

/** Runs the real program. */
export function runDoctor({ folder, args = [], ...options }: DoctorOptions): Promise<CliOutcome> {
  return runKiroGateway(['doctor', ...args], { cwd: folder, ...options })
}

/** Runs `doctor` in this process, for what depends on its settings alone. */
export function runDoctorHere({
  folder,
  args = [],
  env
}: Pick<DoctorOptions, 'folder' | 'args' | 'env'>): Promise<CliOutcome> {
  return runCommandHere(['doctor', ...args], { cwd: folder, env })
}

export type DoctorJson = Report & { readonly probes?: ProbeRun }

export function reportOf({ stdout, stderr }: CliOutcome): DoctorJson {
  try {
    return JSON.parse(stdout) as DoctorJson
  } catch {
    throw new Error(`no report:\n${stdout}\n${stderr}`)
  }
}
