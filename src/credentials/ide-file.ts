import { access, constants, readFile, realpath, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { AuthType } from '../kiro/wire/credential-snapshot.ts'
import { isProfileArn, isRegion } from '../kiro/wire/hosts.ts'
import type { Logger } from '../observe/logger.ts'
import { codeOf, GatewayError } from '../shared/errors.ts'
import { type JsonObject, parseJsonObject, textMember } from '../shared/json.ts'
import { replaceFile } from '../shared/private-files.ts'
import { parseExpiry } from './sign-in.ts'
import {
  type CredentialSource,
  hashOf,
  isTokenText,
  type OidcClient,
  type StoredCredential
} from './stored-credential.ts'

const EXPECTED =
  'Expected the token file of the Kiro IDE (~/.aws/sso/cache/kiro-auth-token.json) or an AWS SSO cache file: a JSON object with "accessToken" and "refreshToken".'

export interface IdeFileOptions {
  readonly path: string
  /** Region of the sign-in where the file names none. */
  readonly ssoRegion: string
  readonly log: Pick<Logger, 'warn'>
  /** Where the IDE keeps client registrations, besides the file's own folder. */
  readonly cacheDir?: string
}

/**
 * `KIRO_CREDS_FILE`: the sign-in that the Kiro IDE, or the AWS CLI, keeps in a file.
 *
 * The IDE may run beside us and lives on the same single-use refresh token. So renewed tokens are also written
 * back here where that is safe: the file still holds the token that was used up, belongs to us and may be
 * written. Otherwise it is left alone; the overlay has the tokens.
 */
export class IdeFileSource implements CredentialSource {
  readonly id: string
  readonly name: string
  readonly loginHint: string
  readonly #options: IdeFileOptions
  readonly #file: JsonFileOptions
  #warned = ''

  constructor(options: IdeFileOptions) {
    const path = resolve(options.path)
    this.#options = options
    this.#file = { path, setting: 'KIRO_CREDS_FILE', expected: EXPECTED }
    this.id = hashOf(`file:${path}`)
    this.name = `KIRO_CREDS_FILE ${path}`
    this.loginHint =
      'Log in again in Kiro IDE; the gateway notices the new token file by itself within a minute.'
  }

  async read(): Promise<StoredCredential> {
    const file = await readJsonFile(this.#file)
    const registration = inlineClient(file) ?? (await this.#readCompanion(file))
    let token: IdeToken
    try {
      token = parseIdeToken(file, registration, this.#options.ssoRegion)
    } catch (cause) {
      throw fileError(this.#file, cause instanceof Error ? cause.message : 'is damaged.', cause)
    }
    this.#warn(token)
    return token.stored
  }

  /** Read, change, write: members that we don't know stay. */
  async writeBack(renewed: StoredCredential, previous: string | null): Promise<string | null> {
    const path = await realpath(this.#file.path) // a link must stay one
    const { mode, uid } = await stat(path)
    if (process.geteuid !== undefined && uid !== process.geteuid())
      return 'it belongs to another user'
    if ((mode & 0o200) === 0 || !(await isWritable(path))) return 'it is read-only'
    const file = await readJsonFile({ ...this.#file, path })
    if (textMember(file, 'refreshToken') !== previous) return 'somebody else changed it'
    const next = {
      ...file,
      accessToken: renewed.accessToken,
      refreshToken: renewed.refreshToken,
      ...(renewed.expiresAt !== null && { expiresAt: new Date(renewed.expiresAt).toISOString() }),
      ...(renewed.profileArn !== null && { profileArn: renewed.profileArn })
    }
    const text = `${JSON.stringify(next, null, 2)}\n`
    await replaceFile(path, { text, mode: mode & 0o777, isDurable: true })
    return null
  }

  /** The registration that belongs to the hash; beside the file when it was copied, else where the IDE puts it. */
  async #readCompanion(file: JsonObject): Promise<Registration> {
    const hash = textMember(file, 'clientIdHash')
    if (hash === null) return null
    if (!/^[0-9a-f]{8,128}$/i.test(hash)) return { problem: 'its "clientIdHash" is not a hash' }
    const { cacheDir = join(homedir(), '.aws', 'sso', 'cache') } = this.#options
    const folders = new Set([dirname(this.#file.path), resolve(cacheDir)])
    const problems: string[] = []
    for (const folder of folders) {
      const path = join(folder, `${hash}.json`)
      const expected = 'Expected a JSON object with "clientId" and "clientSecret".'
      try {
        const companion = await readJsonFile({ path, setting: 'Its companion file', expected })
        const client = inlineClient(companion)
        if (client !== null) return client
        problems.push(`${path} has no "clientId" and "clientSecret"`)
      } catch (error) {
        problems.push(error instanceof Error ? error.message : path)
      }
    }
    return {
      problem: `the client registration named by its "clientIdHash" is missing: copy it beside the token file (${problems.join(' ')})`
    }
  }

  /** Once for each new set of oddities, not with every read. */
  #warn({ stored, oddities }: IdeToken): void {
    const { renewalProblem } = stored
    const all = renewalProblem === null ? oddities : [...oddities, renewalProblem]
    const text = all.join('; ')
    if (text !== '' && text !== this.#warned) {
      this.#options.log.warn({ source: this.name, problems: all }, 'credentials file is odd')
    }
    this.#warned = text
  }
}

/** Knows of read-only mounts too. */
async function isWritable(path: string): Promise<boolean> {
  try {
    await access(path, constants.W_OK)
    return true
  } catch {
    return false // whatever the reason is
  }
}

const BUILDER_ID_START_URL = 'https://view.awsapps.com/start'

/** A file's sign-in, and what was odd about it but not fatal. */
export interface IdeToken {
  readonly stored: StoredCredential
  /** Sentences for a warning; without any secret. */
  readonly oddities: readonly string[]
}

/** The client registration, or why there is none. */
export type Registration = OidcClient | { readonly problem: string } | null

/**
 * Reads the token file of the Kiro IDE or an AWS SSO cache file (kiro-protocol §3.2, §3.4). The registration
 * comes from the companion file where the token file does not hold it.
 *
 * @throws {Error} whose message completes the sentence "the file …".
 */
export function parseIdeToken(
  file: JsonObject,
  registration: Registration,
  fallbackRegion: string
): IdeToken {
  const oddities: string[] = []
  const accessToken = tokenOf(file, 'accessToken')
  const refreshToken = tokenOf(file, 'refreshToken')
  if (accessToken === null && refreshToken === null) {
    throw new Error('has neither "accessToken" nor "refreshToken".')
  }
  const authType = authTypeOf(file, accessToken, registration)
  const arn = textMember(file, 'profileArn')
  if (arn !== null && !isProfileArn(arn)) oddities.push('profileArn is malformed and not used')
  const expiresAt = parseExpiry(file['expiresAt'])
  if (expiresAt === null && authType !== 'api-key')
    oddities.push('expiresAt is missing or unreadable')
  // The shared ARN of Builder ID depends on the host; a stored one would be sent where it must not be.
  const profileArn = arn !== null && isProfileArn(arn) && authType !== 'builder-id' ? arn : null
  const stored: StoredCredential = {
    authType,
    accessToken,
    refreshToken: authType === 'api-key' ? null : refreshToken,
    expiresAt: authType === 'api-key' ? null : expiresAt,
    profileArn,
    ssoRegion: regionOf(file, 'region') ?? fallbackRegion,
    apiRegion: regionOf(file, 'apiRegion'),
    client: registration !== null && 'clientId' in registration ? registration : null,
    renewalProblem: renewalProblemOf(authType, registration)
  }
  return { stored, oddities }
}

/** The registration inside the token file itself. */
export function inlineClient(file: JsonObject): OidcClient | null {
  const clientId = textMember(file, 'clientId')
  const clientSecret = textMember(file, 'clientSecret')
  return clientId === null || clientSecret === null ? null : { clientId, clientSecret }
}

/** What the file says of how it was made, without case and separators. */
function methodOf(file: JsonObject): string {
  return (textMember(file, 'authMethod') ?? '').toLowerCase().replaceAll(/[-_ ]/g, '')
}

function authTypeOf(
  file: JsonObject,
  accessToken: string | null,
  registration: Registration
): AuthType {
  const method = methodOf(file)
  if (accessToken?.startsWith('ksk_') === true) return 'api-key'
  if (method === 'apikey') throw new Error('says it holds an API key, but "accessToken" is none.')
  if (method === 'externalidp') return 'external-idp'
  const hasClient = registration !== null && 'clientId' in registration
  if (method === 'social' && !hasClient) return 'social'
  const isOidc = registration !== null || ['idc', 'builderid', 'iam'].includes(method)
  if (!isOidc) return 'social'
  const provider = (textMember(file, 'provider') ?? '').toLowerCase()
  const isBuilderId =
    method === 'builderid' ||
    provider === 'builderid' ||
    textMember(file, 'startUrl')?.replace(/\/+$/, '') === BUILDER_ID_START_URL
  return isBuilderId ? 'builder-id' : 'idc'
}

function renewalProblemOf(authType: AuthType, registration: Registration): string | null {
  if (authType === 'api-key') return 'an API key cannot be renewed'
  if (authType === 'external-idp') {
    return 'a sign-in through an external identity provider can only be renewed by the Kiro IDE'
  }
  if (authType === 'social') return null
  if (registration === null) {
    return 'the file names no client registration ("clientIdHash", or "clientId" and "clientSecret")'
  }
  return 'problem' in registration ? registration.problem : null
}

function tokenOf(file: JsonObject, name: string): string | null {
  const token = textMember(file, name)
  if (token !== null && (!isTokenText(token) || token.includes('...'))) {
    throw new Error(`has a damaged "${name}": it was cut short or changed when it was copied.`)
  }
  return token
}

function regionOf(file: JsonObject, name: string): string | null {
  const region = textMember(file, name)
  if (region !== null && !isRegion(region)) {
    throw new Error(`has a "${name}" that is no AWS region.`)
  }
  return region
}

const MAX_FILE_BYTES = 1024 * 1024

export interface JsonFileOptions {
  readonly path: string
  /** The setting that names the file. */
  readonly setting: string
  /** A sentence about what should be in it. */
  readonly expected: string
}

/**
 * Reads a small JSON file that people or other programs wrote.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID that names setting, path, problem and what is expected; never content.
 */
export async function readJsonFile(options: JsonFileOptions): Promise<JsonObject> {
  const { path } = options
  let text: string
  try {
    const stats = await stat(path)
    if (stats.isDirectory()) {
      // Docker makes a folder when the file to mount does not exist.
      throw fileError(options, 'is a folder. In a container: does the mounted file exist?')
    }
    if (!stats.isFile()) throw fileError(options, 'is not a plain file.') // a pipe would wait for ever
    if (stats.size > MAX_FILE_BYTES)
      throw fileError(options, `has ${stats.size} bytes, over the limit of 1 MB.`)
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause
    throw fileError(options, describeCause(cause), cause)
  }
  const object = parseJsonObject(text.replace(/^\uFEFF/, ''))
  if (object === null) throw fileError(options, 'is not a JSON object.')
  return object
}

/** An error about a file, for the operator. */
export function fileError(
  options: JsonFileOptions,
  problem: string,
  cause?: unknown
): GatewayError {
  const { setting, path, expected } = options
  return new GatewayError('GW_CONFIG_INVALID', undefined, {
    message: `${setting}: ${path} ${problem} ${expected}`,
    cause
  })
}

function describeCause(cause: unknown): string {
  const code = codeOf(cause)
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist.'
  if (code === 'EACCES' || code === 'EPERM') {
    return `may not be read by this user (uid ${process.geteuid?.() ?? 'unknown'}).`
  }
  return `cannot be read (${code}).`
}
