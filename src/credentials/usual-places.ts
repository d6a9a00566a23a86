import { access } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config/settings.ts'
import type { Logger } from '../observe/logger.ts'
import { cliDatabaseSource } from './cli-database.ts'
import { ideFileSource } from './ide-file.ts'
import { awaitedSignIn, ownSignInSource, prepareSignIn } from './own-sign-in.ts'
import { tokenAge } from './sign-in.ts'
import { createCredentialSource } from './sources.ts'
import type { CredentialSource } from './stored-credential.ts'

export interface SearchOptions {
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly home?: string
  readonly platform?: NodeJS.Platform
  readonly now?: number
}

export interface LookedAt {
  readonly place: string
  readonly problem: string | null
}

export interface SearchResult {
  readonly source: CredentialSource | null
  readonly places: readonly LookedAt[]
}

/**
 * Finds the configured source, else one in the usual places (`KIRO_CREDS`), else one yet to be made.
 * @throws {GatewayError} GW_CONFIG_INVALID as `createCredentialSource()`, and if a new sign-in could not be stored
 */
export async function findCredentialSource(
  settings: Config['credentials'],
  options: SearchOptions
): Promise<CredentialSource | null> {
  const { log } = options
  const { source, places } = await lookForSource(settings, options)
  const passedOver = places.filter(({ problem }) => problem !== null)
  if (source === null && settings.isLoginWanted) {
    const { stateDir, region } = settings
    await prepareSignIn(stateDir)
    return awaitedSignIn(stateDir, { region, log })
  }
  if (source !== null && places.length > 0) {
    log.info({ source: source.name, passedOver }, 'credentials found')
  } else if (passedOver.length > 0) log.warn({ passedOver }, 'no usable credentials found')
  return source
}

/** Like `findCredentialSource()`, but logs and creates nothing. @throws {GatewayError} likewise */
export async function lookForSource(
  settings: Config['credentials'],
  options: SearchOptions
): Promise<SearchResult> {
  const source = createCredentialSource(settings, options.log)
  if (source !== null || settings.creds === 'none') return { source, places: [] }
  return searchUsualPlaces(settings, options)
}

/** Looks for `kiro-gateway login`, Kiro IDE, kiro-cli, Amazon Q, in this order; the first usable one wins. */
export async function searchUsualPlaces(
  settings: Pick<Config['credentials'], 'stateDir' | 'region' | 'isDbReadonly'>,
  { log, home = homedir(), platform = process.platform, now = Date.now() }: SearchOptions
): Promise<SearchResult> {
  const found = await sourcesThatAreThere(settings, { log, home, platform })
  const places: LookedAt[] = []
  let source: CredentialSource | null = null
  for (const one of found) {
    const { name: place } = one
    if (source !== null) {
      places.push({ place, problem: 'another one takes precedence' })
      continue
    }
    const problem = await problemOf(one, now)
    places.push({ place, problem })
    if (problem === null) source = one
  }
  return { source, places }
}

async function sourcesThatAreThere(
  settings: Pick<Config['credentials'], 'stateDir' | 'region' | 'isDbReadonly'>,
  { log, home, platform }: Required<Omit<SearchOptions, 'now'>>
): Promise<readonly CredentialSource[]> {
  const { stateDir, region: ssoRegion, isDbReadonly: isReadonly } = settings
  const own = await ownSignInSource(stateDir, { region: ssoRegion, log })
  const cacheDir = join(home, '.aws', 'sso', 'cache')
  const idePath = join(cacheDir, 'kiro-auth-token.json')
  const shared = { ssoRegion, log }
  const ide = (await isThere(idePath))
    ? ideFileSource({ ...shared, path: idePath, cacheDir, name: `Kiro IDE's ${idePath}` })
    : null
  const databases: CredentialSource[] = []
  for (const program of ['kiro-cli', 'amazon-q']) {
    const path = join(dataFolder(home, platform), program, 'data.sqlite3')
    if (!(await isThere(path))) continue
    const name = `the database of ${program}, ${path},`
    databases.push(cliDatabaseSource({ ...shared, path, isReadonly, name }))
  }
  return [own ?? [], ide ?? [], databases].flat()
}

async function problemOf(source: CredentialSource, now: number): Promise<string | null> {
  try {
    const stored = await source.read()
    const canBeRenewed = stored.refreshToken !== null && stored.renewalProblem === null
    if (canBeRenewed || tokenAge(stored, now) !== 'expired') return null
    return `it has expired and cannot be renewed: ${stored.renewalProblem ?? 'there is no refresh token'}`
  } catch (cause) {
    return cause instanceof Error ? cause.message : 'it cannot be read'
  }
}

function dataFolder(home: string, platform: NodeJS.Platform): string {
  return platform === 'darwin'
    ? join(home, 'Library', 'Application Support')
    : join(home, '.local', 'share')
}

/** An inaccessible file counts as absent: its folder may be another user's. */
async function isThere(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch {
    return false
  }
}
