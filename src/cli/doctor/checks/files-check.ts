import type { Stats } from 'node:fs'
import { lstat, readdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { listSettings } from '../../../config/setting-text.ts'
import type { Config } from '../../../config/settings.ts'
import { codeOf } from '../../../shared/errors.ts'
import { isWritable } from '../../../shared/private-files.ts'
import type { Check, Checkup } from './checkup.ts'
import { type DoctorFinding, found } from './finding.ts'
import { envFileOf } from './settings-check.ts'

export const filesCheck: Check = {
  id: 'files',
  title: 'files and their modes',
  async run(checkup) {
    const { config } = checkup
    const findings = await Promise.all([
      checkEnvFile(checkup),
      checkSources(config),
      checkState(config.credentials.stateDir),
      checkDebugDir(config)
    ])
    return findings.flat()
  }
}

const HAS_MODES = process.getuid !== undefined

async function checkEnvFile({ env }: Checkup): Promise<readonly DoctorFinding[]> {
  const file = envFileOf(env)
  const facts = await factsOf(file, stat)
  if (facts === null || !HAS_MODES) return []
  const mode = modeOf(facts)
  if (isOpenToWrite(facts))
    return [found('env-file-writable', `${file} can be written by others (${mode}).`)]
  if (!isTrusted(facts.uid)) {
    return [found('env-file-writable', `${file} belongs to another user (uid ${facts.uid}).`)]
  }
  const hasSecrets = listSettings().some(
    ({ setting }) => setting.isSecret === true && (env[setting.env] ?? '') !== ''
  )
  if ((facts.mode & 0o044) !== 0 && hasSecrets)
    return [found('env-file-open', `${file} can be read by others (${mode}).`)]
  return [found('env-file-private', `${file}: mode ${mode}.`)]
}

async function checkSources({ credentials }: Config): Promise<readonly DoctorFinding[]> {
  const paths = listSettings()
    .filter(({ group, setting }) => group === 'credentials' && setting.kind === 'path')
    .filter(({ setting }) => setting.env !== 'STATE_DIR')
    .flatMap(({ name, setting }) => {
      const path: unknown = Reflect.get(credentials, name)
      return typeof path === 'string' ? [{ path, env: setting.env }] : []
    })
  const findings = await Promise.all(paths.map(async ({ path, env }) => checkSource(env, path)))
  return findings.flat()
}

async function checkSource(env: string, path: string): Promise<readonly DoctorFinding[]> {
  const facts = await factsOf(path, stat)
  if (facts === null || !facts.isFile() || !HAS_MODES) return [] // the sign-in says why it cannot be read
  const findings: DoctorFinding[] = []
  if ((facts.mode & 0o077) !== 0) {
    findings.push(
      found('credentials-file-open', `${env} ${path} is open to others (${modeOf(facts)}).`)
    )
  }
  if (!(await isWritable(path)) || facts.uid !== process.getuid?.()) {
    const what = `${env} ${path} is not writable for this user: renewed tokens are stored in STATE_DIR instead.`
    findings.push(found('credentials-read-only', what))
  }
  return findings
}

async function checkState(stateDir: string): Promise<readonly DoctorFinding[]> {
  const folder = resolve(stateDir)
  const facts = await factsOf(folder, lstat)
  if (facts === null) return [await judgeAbsent(folder)]
  if (facts.isSymbolicLink() && !isOurs(facts.uid)) {
    return [
      found(
        'state-link',
        `STATE_DIR ${folder} is a symbolic link created by another user (uid ${facts.uid}).`
      )
    ]
  }
  const real = await factsOf(folder, stat)
  if (real?.isDirectory() !== true) {
    return [found('state-unwritable', `STATE_DIR ${folder} is not a folder.`)]
  }
  const findings = [...judgeEntry(folder, real), ...(await checkEntries(folder, real.mode))]
  if (!(await isWritable(folder))) {
    findings.push(found('state-unwritable', `STATE_DIR ${folder} is not writable for this user.`))
  }
  if (findings.length > 0) return findings.slice(0, MAX_SHOWN)
  return [found('state-private', `STATE_DIR ${folder}: only this user can access its files.`)]
}

async function judgeAbsent(folder: string): Promise<DoctorFinding> {
  let parent = dirname(folder)
  let facts = await factsOf(parent, stat)
  while (facts === null && parent !== dirname(parent)) {
    parent = dirname(parent)
    facts = await factsOf(parent, stat)
  }
  if (facts?.isDirectory() === true && (await isWritable(parent))) {
    return found('state-absent', `STATE_DIR ${folder} does not exist yet; the gateway creates it.`)
  }
  return found(
    'state-unwritable',
    `STATE_DIR ${folder} does not exist and cannot be created in ${parent}.`
  )
}

const MAX_SHOWN = 5
const MAX_ENTRIES = 500

/** Files that others can read matter only in a folder that they can enter. */
async function checkEntries(folder: string, mode: number): Promise<readonly DoctorFinding[]> {
  const isReachable = (mode & 0o011) !== 0
  const names = await readdir(folder).catch((): string[] => [])
  const findings = await Promise.all(
    names.slice(0, MAX_ENTRIES).map(async (name) => {
      const path = join(folder, name)
      const entry = await factsOf(path, lstat)
      if (entry === null) return []
      const own = judgeEntry(path, entry)
      if (own.length > 0) return own
      if (entry.isDirectory()) return checkEntries(path, entry.mode & mode)
      if (!isReachable || !HAS_MODES || (entry.mode & 0o044) === 0) return []
      return [found('state-open', `${path} can be read by others (${modeOf(entry)}).`)]
    })
  )
  return findings.flat()
}

function judgeEntry(path: string, facts: Stats): readonly DoctorFinding[] {
  if (!HAS_MODES) return []
  if (facts.isSymbolicLink()) {
    return [found('state-link', `${path} is a symbolic link, which the gateway never creates.`)]
  }
  if (!isTrusted(facts.uid)) {
    return [found('state-foreign', `${path} belongs to another user (uid ${facts.uid}).`)]
  }
  if (!isOpenToWrite(facts)) return []
  return [found('state-foreign', `${path} can be written by others (${modeOf(facts)}).`)]
}

async function checkDebugDir({ observe }: Config): Promise<readonly DoctorFinding[]> {
  const folder = resolve(observe.debugDir)
  if (observe.debugMode === 'off') return []
  const there = (await factsOf(folder, stat)) === null ? dirname(folder) : folder
  return (await isWritable(there))
    ? []
    : [found('debug-unwritable', `DEBUG_DIR ${folder} cannot be written.`)]
}

async function factsOf(
  path: string,
  look: (path: string) => Promise<Stats>
): Promise<Stats | null> {
  try {
    return await look(path)
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'ELOOP'].includes(codeOf(cause))) return null
    throw cause
  }
}

function isOurs(uid: number): boolean {
  return uid === process.getuid?.() || uid === 0
}

/** Root checks files of a gateway of another user, and in containers those of the host's users. */
function isTrusted(uid: number): boolean {
  return isOurs(uid) || process.getuid?.() === 0
}

function isOpenToWrite({ mode, gid }: Stats): boolean {
  return (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && gid !== process.getgid?.())
}

function modeOf({ mode }: Stats): string {
  return (mode & 0o777).toString(8).padStart(3, '0')
}
