import { realpath, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Logger } from '../observe/logger.ts'
import { type JsonObject, textMember } from '../shared/json.ts'
import { isWritable, removeDrafts, replaceFile } from '../shared/private-files.ts'
import { fileError, type JsonFileOptions, readJsonFile } from './json-file.ts'
import {
  inlineClient,
  type ParsedSignIn,
  parseSignIn,
  problemTeller,
  type Registration
} from './parse-sign-in.ts'
import { lockPathOf } from '../shared/file-lock.ts'
import { type CredentialSource, hashOf, type StoredCredential } from './stored-credential.ts'

const IDE_HINT =
  'Sign in again in Kiro IDE; the gateway picks up the new token file within a minute.'
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
export function ideFileSource(options: IdeFileOptions) {
  const path = resolve(options.path)
  const {
    ssoRegion,
    log,
    cacheDir,
    name = `KIRO_CREDS_FILE ${path}`,
    loginHint = IDE_HINT
  } = options
  const { file = { path, setting: 'KIRO_CREDS_FILE', expected: EXPECTED } } = options
  const warn = problemTeller(name, 'credentials file has unusable fields', log)
  return {
    id: hashOf(`file:${path}`),
    name,
    loginHint,
    isOwn: file.isOwn === true,
    lockPath: lockPathOf(path),
    async read(): Promise<StoredCredential> {
      const raw = await readJsonFile(file)
      const registration = inlineClient(raw) ?? (await readCompanion(raw, path, cacheDir))
      let parsed: ParsedSignIn
      try {
        parsed = parseSignIn(raw, registration, ssoRegion)
      } catch (cause) {
        throw fileError(file, cause instanceof Error ? cause.message : 'is damaged.', cause)
      }
      const { stored, oddities } = parsed
      warn([...oddities, ...(stored.renewalProblem === null ? [] : [stored.renewalProblem])])
      return stored
    },
    writeBack: (renewed: StoredCredential, previous: string | null) =>
      writeBack(file, renewed, previous)
  } satisfies CredentialSource
}

async function writeBack(
  file: JsonFileOptions,
  renewed: StoredCredential,
  previous: string | null
): Promise<string | null> {
  const path = await realpath(file.path) // a link must stay one
  const { mode, uid } = await stat(path)
  if (process.geteuid !== undefined && uid !== process.geteuid())
    return 'it belongs to another user'
  if ((mode & 0o200) === 0 || !(await isWritable(path))) return 'it is read-only'
  const raw = await readJsonFile({ ...file, path })
  const wasSnake = Object.hasOwn(raw, 'refresh_token')
  const [refreshName, accessName, expiryName, arnName] = wasSnake ? SNAKE : CAMEL
  if (textMember(raw, refreshName) !== previous) return 'another program changed it'
  const next = {
    ...raw,
    [accessName]: renewed.accessToken,
    [refreshName]: renewed.refreshToken,
    ...(renewed.expiresAt !== null && { [expiryName]: new Date(renewed.expiresAt).toISOString() }),
    ...(renewed.profileArn !== null && { [arnName]: renewed.profileArn }),
    ...(Object.hasOwn(raw, 'issuedAt') && { issuedAt: new Date().toISOString() })
  }
  const text = `${JSON.stringify(next, null, 2)}\n`
  await replaceFile(path, { text, mode: mode & 0o777, isDurable: true })
  await removeDrafts(path)
  return null
}

/** The registration may lie beside a copied file or where the IDE puts it. */
async function readCompanion(
  file: JsonObject,
  besidePath: string,
  cacheDir = join(homedir(), '.aws', 'sso', 'cache')
): Promise<Registration> {
  const hash = textMember(file, 'clientIdHash')
  if (hash === null) return null
  if (!/^[0-9a-f]{8,128}$/i.test(hash)) return { problem: 'its "clientIdHash" is not a hash' }
  const folders = new Set([dirname(besidePath), resolve(cacheDir)])
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

const CAMEL = ['refreshToken', 'accessToken', 'expiresAt', 'profileArn'] as const
const SNAKE = ['refresh_token', 'access_token', 'expires_at', 'profile_arn'] as const
