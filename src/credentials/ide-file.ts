import { realpath, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Logger } from '../observe/logger.ts'
import { type JsonObject, textMember } from '../shared/json.ts'
import { isWritable, removeDrafts, replaceFile } from '../shared/private-files.ts'
import { fileError, type JsonFileOptions, readJsonFile } from './json-file.ts'
import { inlineClient, type ParsedSignIn, parseSignIn, type Registration } from './parse-sign-in.ts'
import { lockPathOf } from '../shared/file-lock.ts'
import { type CredentialSource, hashOf, type StoredCredential } from './stored-credential.ts'

const EXPECTED =
  'Expected the token file of the Kiro IDE (~/.aws/sso/cache/kiro-auth-token.json) or an AWS SSO cache file: a JSON object with "accessToken" and "refreshToken".'

export interface IdeFileOptions {
  readonly path: string
  readonly ssoRegion: string
  readonly log: Pick<Logger, 'warn'>
  readonly cacheDir?: string
  readonly file?: JsonFileOptions
  readonly name?: string
  readonly loginHint?: string
}

/**
 * File of the Kiro IDE or AWS CLI (`KIRO_CREDS_FILE`). The IDE uses the same single-use refresh token, so renewed
 * tokens are written back while the file holds the used one; otherwise only the overlay has them.
 */
export class IdeFileSource implements CredentialSource {
  readonly id: string
  readonly name: string
  readonly loginHint: string
  readonly isOwn: boolean
  readonly lockPath: string
  readonly #options: IdeFileOptions
  readonly #file: JsonFileOptions
  #warned = ''

  constructor(options: IdeFileOptions) {
    const path = resolve(options.path)
    const { file, name, loginHint } = options
    this.#options = options
    this.#file = file ?? { path, setting: 'KIRO_CREDS_FILE', expected: EXPECTED }
    this.isOwn = file?.isOwn === true
    this.id = hashOf(`file:${path}`)
    this.name = name ?? `KIRO_CREDS_FILE ${path}`
    this.loginHint =
      loginHint ??
      'Sign in again in Kiro IDE; the gateway picks up the new token file within a minute.'
    this.lockPath = lockPathOf(path)
  }

  async read(): Promise<StoredCredential> {
    const file = await readJsonFile(this.#file)
    const registration = inlineClient(file) ?? (await this.#readCompanion(file))
    let parsed: ParsedSignIn
    try {
      parsed = parseSignIn(file, registration, this.#options.ssoRegion)
    } catch (cause) {
      throw fileError(this.#file, cause instanceof Error ? cause.message : 'is damaged.', cause)
    }
    this.#warn(parsed)
    return parsed.stored
  }

  async writeBack(renewed: StoredCredential, previous: string | null): Promise<string | null> {
    const path = await realpath(this.#file.path) // a link must stay one
    const { mode, uid } = await stat(path)
    if (process.geteuid !== undefined && uid !== process.geteuid())
      return 'it belongs to another user'
    if ((mode & 0o200) === 0 || !(await isWritable(path))) return 'it is read-only'
    const file = await readJsonFile({ ...this.#file, path })
    const wasSnake = Object.hasOwn(file, 'refresh_token')
    const [refreshName, accessName, expiryName, arnName] = wasSnake ? SNAKE : CAMEL
    if (textMember(file, refreshName) !== previous) return 'another program changed it'
    const next = {
      ...file,
      [accessName]: renewed.accessToken,
      [refreshName]: renewed.refreshToken,
      ...(renewed.expiresAt !== null && {
        [expiryName]: new Date(renewed.expiresAt).toISOString()
      }),
      ...(renewed.profileArn !== null && { [arnName]: renewed.profileArn }),
      ...(Object.hasOwn(file, 'issuedAt') && { issuedAt: new Date().toISOString() })
    }
    const text = `${JSON.stringify(next, null, 2)}\n`
    await replaceFile(path, { text, mode: mode & 0o777, isDurable: true })
    await removeDrafts(path)
    return null
  }

  /** The registration may lie beside a copied file or where the IDE puts it. */
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

  #warn({ stored, oddities }: ParsedSignIn): void {
    const { renewalProblem } = stored
    const all = renewalProblem === null ? oddities : [...oddities, renewalProblem]
    const text = all.join('; ')
    if (text !== '' && text !== this.#warned) {
      this.#options.log.warn(
        { source: this.name, problems: all },
        'credentials file has unusable fields'
      )
    }
    this.#warned = text
  }
}

const CAMEL = ['refreshToken', 'accessToken', 'expiresAt', 'profileArn'] as const
const SNAKE = ['refresh_token', 'access_token', 'expires_at', 'profile_arn'] as const
