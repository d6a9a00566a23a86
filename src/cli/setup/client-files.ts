import { constants, type Stats } from 'node:fs'
import {
  access,
  chmod,
  lstat,
  open,
  readFile,
  readlink,
  rmdir,
  stat,
  unlink
} from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { codeOf } from '../../shared/errors.ts'
import { makeFolder, replaceFile } from '../../shared/private-files.ts'
import { clientFile } from './text/text-format.ts'

const MAX_BYTES = 1024 * 1024
const MAX_LINKS = 40
const PRIVATE_MODE = 0o600

export interface ClientFile {
  readonly path: string
  /** Real path: links of dotfile managers are followed and stay. */
  readonly target: string
  readonly text: string | null
  /** `null` without a file, or on systems without permissions. */
  readonly mode: number | null
  /** To be created, outermost first. */
  readonly missingFolders: readonly string[]
}

/** Reads a client's file and checks that it can be written. @throws {GatewayError} GW_CLIENT_FILE */
export async function readClientFile(path: string): Promise<ClientFile> {
  const target = await followLinks(path)
  const facts = await factsOf(target)
  const missingFolders = facts === null ? await findMissingFolders(dirname(target)) : []
  if (facts === null) {
    const parent = missingFolders[0] === undefined ? dirname(target) : dirname(missingFolders[0])
    await ensureWritable(parent, 'no file can be created in it')
    return { path, target, text: null, mode: null, missingFolders }
  }
  if (!facts.isFile()) throw clientFile(`${path} is not a file.`)
  if (facts.size > MAX_BYTES) throw clientFile(`${path} is too large: ${facts.size} bytes.`)
  const mode = process.platform === 'win32' ? null : facts.mode & 0o777
  // access() is not enough: root may write to what its owner wants left alone.
  if (mode !== null && (mode & 0o222) === 0) throw clientFile(`${path} is read-only.`)
  await ensureWritable(target, 'it is read-only')
  const bytes = await readFile(target).catch((cause: unknown) => {
    throw clientFile(`${path} cannot be read (${codeOf(cause)}).`, cause)
  })
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return { path, target, text, mode, missingFolders }
  } catch (cause) {
    throw clientFile(`${path} is not in UTF-8.`, cause)
  }
}

async function followLinks(path: string): Promise<string> {
  let target = path
  for (let links = 0; links < MAX_LINKS; links += 1) {
    const facts = await lstat(target).catch(() => null)
    if (facts?.isSymbolicLink() !== true) return target
    target = resolve(dirname(target), await readlink(target))
  }
  throw clientFile(`${path} is a broken symbolic link.`)
}

async function factsOf(path: string): Promise<Stats | null> {
  try {
    return await stat(path)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    throw clientFile(`${path} cannot be accessed (${codeOf(cause)}).`, cause)
  }
}

async function findMissingFolders(folder: string): Promise<readonly string[]> {
  if ((await factsOf(folder)) !== null || dirname(folder) === folder) return []
  return [...(await findMissingFolders(dirname(folder))), folder]
}

async function ensureWritable(path: string, otherwise: string): Promise<void> {
  try {
    await access(path, constants.W_OK)
  } catch (cause) {
    throw clientFile(`${path}: ${otherwise} (${codeOf(cause)}).`, cause)
  }
}

export function wantedMode({ mode }: ClientFile, holdsKey: boolean): number {
  if (mode === null) return PRIVATE_MODE
  return holdsKey ? mode & 0o700 : mode
}

/** @throws {GatewayError} GW_CLIENT_FILE, also if the file has changed since it was read */
export async function writeClientFile(file: ClientFile, text: string, mode: number): Promise<void> {
  const { path, target } = file
  await ensureUnchanged(file)
  try {
    await makeFolder(dirname(target))
    if (file.text !== null && (await mustStayInPlace(target))) await overwrite(target, text, mode)
    else await replace(file, text, mode)
  } catch (cause) {
    throw clientFile(`${path} cannot be written (${codeOf(cause)}).`, cause)
  }
}

/** Removes a file made by setup, and folders made for it if empty. @throws {GatewayError} GW_CLIENT_FILE */
export async function removeClientFile(
  file: ClientFile,
  folders: readonly string[]
): Promise<void> {
  await ensureUnchanged(file)
  try {
    await unlink(file.target)
  } catch (cause) {
    throw clientFile(`${file.path} cannot be removed (${codeOf(cause)}).`, cause)
  }
  for (const folder of folders.toReversed()) {
    await rmdir(folder).catch(() => {}) // something of the client's may be in it
  }
}

async function ensureUnchanged({ path, text }: ClientFile): Promise<void> {
  const now = await readClientFile(path)
  if (now.text !== text) throw clientFile(`${path} was just changed by another program. Try again.`)
}

/** True for a file with a second name, of another user, or in a closed folder: replacing would change that. */
async function mustStayInPlace(target: string): Promise<boolean> {
  const { nlink, uid } = await stat(target)
  const isOurs = process.getuid === undefined || uid === process.getuid()
  const isOpen = await access(dirname(target), constants.W_OK).then(
    () => true,
    () => false
  )
  return nlink > 1 || !isOurs || !isOpen
}

/** A file mounted into a container by itself cannot be replaced. */
async function replace({ target, text: before }: ClientFile, text: string, mode: number) {
  try {
    await replaceFile(target, { text, mode, isDurable: true })
  } catch (cause) {
    if (before === null || !['EBUSY', 'EXDEV'].includes(codeOf(cause))) throw cause
    await overwrite(target, text, mode)
  }
}

async function overwrite(target: string, text: string, mode: number): Promise<void> {
  await using file = await open(target, 'r+')
  const bytes = Buffer.from(text)
  await file.write(bytes, 0, bytes.byteLength, 0)
  await file.truncate(bytes.byteLength)
  await file.sync()
  await chmod(target, mode).catch(() => {}) // only its owner may
}
