import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { CliProcess } from './cli-process.ts'
import { FakeSignInServices } from './fake-sign-in-services.ts'

/** What must never be printed. */
export const LOGIN_SECRETS =
  /client-secret-|device-code-\d|access-token-|refresh-token-|portal-code-|code_verifier/

/** Real runs of `kiro-gateway login` in an empty folder, with services that are on loopback. */
export async function loginRig(t: Test) {
  const services = await new FakeSignInServices().listen()
  t.teardown(() => services.close())
  const cwd = t.testdir({})
  const env = {
    KIRO_OIDC_URL: services.url,
    KIRO_AUTH_URL: services.url,
    STATE_DIR: join(cwd, 'state')
  }
  const kept = join(cwd, 'state/sign-in.json')
  const start = (args: readonly string[], more: Readonly<Record<string, string>> = {}) => {
    const cli = new CliProcess(['login', ...args], { cwd, env: { ...env, ...more } })
    t.teardown(() => cli.destroy())
    return cli
  }
  const read = (): unknown => JSON.parse(readFileSync(kept, 'utf8'))
  return { services, cwd, kept, start, read }
}
