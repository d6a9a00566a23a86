import { accessSync, constants, readFileSync } from 'node:fs'
import { listSettings } from '../../../config/setting-text.ts'
import type { Environment } from '../../../config/load.ts'
import { readEnvFile } from '../../../config/load-process.ts'
import { codeOf } from '../../../shared/errors.ts'
import type { Check } from './checkup.ts'
import { type DoctorFinding, found } from './finding.ts'

const NEWEST_MAJOR = 26

export const programCheck: Check = {
  id: 'program',
  title: 'program and Node',
  async run({ env }) {
    return [...judgeNode(process.versions.node), ...judgeTlsOfNode(env)]
  }
}

export function judgeNode(nodeVersion: string): readonly DoctorFinding[] {
  const what = `Node ${nodeVersion} on ${process.platform} ${process.arch}.`
  const isKnown = Number(nodeVersion.split('.')[0]) <= NEWEST_MAJOR
  return [found(isKnown ? 'node-known' : 'node-untried', what)]
}

function judgeTlsOfNode(env: Environment): readonly DoctorFinding[] {
  const findings: DoctorFinding[] = []
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    findings.push(
      found('tls-unchecked', 'NODE_TLS_REJECT_UNAUTHORIZED=0: certificates are not checked.')
    )
  }
  const name = 'NODE_EXTRA_CA_CERTS'
  const file = env[name] ?? ''
  // Without effect in .env, which another finding reports.
  if (file === '' || namesIn(envFileOf(env)).includes(name)) return findings
  try {
    accessSync(file, constants.R_OK)
  } catch (cause) {
    const what = `NODE_EXTRA_CA_CERTS names ${file}, which cannot be read (${codeOf(cause)}).`
    findings.push(found('ca-file-unreadable', what))
  }
  return findings
}

export const settingsCheck: Check = {
  id: 'settings',
  title: 'settings',
  async run({ env, problems, warnings }) {
    const file = envFileOf(env)
    const names = namesIn(file)
    const findings = [
      ...problems.map((sentence) => found('settings-invalid', sentence)),
      ...warnings.map((sentence) => found('settings-odd', sentence)),
      ...judgeNamedFile(env),
      ...judgeNames(names, [...problems, ...warnings])
    ]
    if (findings.length > 0) return findings
    const set = listSettings().filter(({ setting }) => (env[setting.env] ?? '').trim() !== '')
    const where = names.length > 0 ? ` (${file} and the environment)` : ''
    const count = set.length === 1 ? '1 setting is' : `${set.length} settings are`
    return [found('settings-valid', `${count} set${where}, and all values are valid.`)]
  }
}

/** The gateway starts even if the file of `ENV_FILE` cannot be read. */
function judgeNamedFile({ ENV_FILE: file }: Environment): readonly DoctorFinding[] {
  if (file === undefined) return []
  try {
    readFileSync(file)
    return []
  } catch (cause) {
    const what = `ENV_FILE names ${file}, which cannot be read (${codeOf(cause)}), so only the environment applies.`
    return [found('settings-odd', what)]
  }
}

export function envFileOf(env: Environment): string {
  return env['ENV_FILE'] ?? '.env'
}

export function namesIn(file: string): readonly string[] {
  try {
    return Object.keys(readEnvFile(file) ?? {})
  } catch {
    return [] // that it cannot be read is said elsewhere
  }
}

/** Read by Node, OpenSSL and the C library before our first line runs. */
const TOO_LATE = /^(?:NODE_(?!ENV$)\w+|UV_\w+|SSL_CERT_\w+|OPENSSL_\w+|MALLOC_\w+|LD_\w+)$/
/** No settings, but read by us, Compose or a shell. */
const READ_BY_OTHERS =
  /^(?:NODE_ENV|ENV_FILE|HTTP_PROXY|http_proxy|PATH|HOME|TZ|LANG|COMPOSE_\w+|DOCKER_\w+|XDG_\w+)$/

/** Names that are read too late or not at all. Misspelt settings are reported by the loader. */
export function judgeNames(
  names: readonly string[],
  said: readonly string[]
): readonly DoctorFinding[] {
  const known = listSettings().flatMap(({ setting }) => [setting.env, setting.alias ?? []].flat())
  const late = names.filter((name) => TOO_LATE.test(name))
  const unknown = names.filter(
    (name) =>
      !known.includes(name) &&
      !late.includes(name) &&
      !READ_BY_OTHERS.test(name) &&
      !said.some((sentence) => sentence.includes(name))
  )
  return [
    ...(late.length === 0
      ? []
      : [found('settings-too-late', `The settings file contains ${late.join(', ')}.`)]),
    ...(unknown.length === 0
      ? []
      : [found('settings-unknown', `Unknown settings: ${unknown.join(', ')}.`)])
  ]
}
