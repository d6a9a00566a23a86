import { randomUUID } from 'node:crypto'
import type { Stats } from 'node:fs'
import {
  access,
  chmod,
  constants,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  stat,
  unlink
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { codeOf } from './errors.ts'

/**
 * Creates a private folder; an existing one stays as it is. Rejects with ELOOP for a link of another user, who would
 * control where files land. Links of ours or root's are the operator's choice.
 */
export async function makeFolder(folder: string): Promise<void> {
  await made(folder)
}

/** Like `makeFolder()`, for a folder of this program alone: also closes an existing one to others. */
export async function makePrivateFolder(folder: string): Promise<void> {
  await close(folder, await made(folder))
}

/** Like `makePrivateFolder()` inside a folder of ours. Rejects with ELOOP for any link. */
export async function makeInnerFolder(folder: string): Promise<void> {
  const facts = await made(folder)
  refuseLink(folder, facts)
  await close(folder, facts)
}

/** Names of links in a folder of ours, which must not be written through. Never rejects. */
export async function linksIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => name)
}

async function close(folder: string, { mode }: Stats): Promise<void> {
  if ((mode & 0o077) === 0 || process.platform === 'win32') return
  await chmod(folder, 0o700).catch(() => {}) // some file systems know no modes, or no owner
}

/** @throws ELOOP */
export function refuseLink(path: string, facts: Pick<Stats, 'isSymbolicLink'> | undefined): void {
  if (facts?.isSymbolicLink() !== true) return
  throw Object.assign(new Error(`${path} is a link, which is not written through`), {
    code: 'ELOOP'
  })
}

/** Creates a private file. Rejects with EEXIST, also for a link. A full disk is left no half of it. */
export async function createPrivateFile(path: string, text: string): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(text)
  } catch (cause) {
    await unlink(path).catch(() => {}) // then it stays
    throw cause
  }
}

export interface ReplacedFile {
  readonly text: string | Uint8Array
  readonly mode: number
  /** Waits for the disk: for what cannot be had again. */
  readonly isDurable: boolean
  /** Owner from the first moment on; only root can set another. */
  readonly owner?: Pick<Stats, 'uid' | 'gid'> | null
}

/** Readers see the old or the new text, also after a crash. Rejects with Node's error and leaves nothing behind. */
export async function replaceFile(path: string, replaced: ReplacedFile): Promise<void> {
  const { text, mode, isDurable, owner = null } = replaced
  const draft = draftOf(path)
  try {
    const file = await open(draft, 'wx', mode)
    try {
      await file.writeFile(text)
      await file.chmod(mode) // the umask had its say when the file was made
      if (owner !== null) await file.chown(owner.uid, owner.gid).catch(() => {}) // some file systems know no owner
      if (isDurable) await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
  } catch (error) {
    await unlink(draft).catch(() => {}) // may never have been made
    throw error
  }
  if (isDurable) await syncFolder(dirname(path))
}

/** New path beside the file, for text that is not complete yet; `removeDrafts()` knows it. */
export function draftOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`)
}

const DEAD_DRAFT_MS = 60_000

/** Removes drafts of killed processes, which may hold secrets. Never rejects. */
export async function removeDrafts(path: string): Promise<void> {
  const folder = dirname(path)
  const start = `.${basename(path)}.`
  const names = await readdir(folder).catch(() => [])
  for (const name of names) {
    if (!name.startsWith(start) || !DRAFT_END.test(name.slice(start.length))) continue
    const draft = join(folder, name)
    const facts = await lstat(draft).catch(() => null) // another process was first
    if (facts === null || Date.now() - facts.mtimeMs < DEAD_DRAFT_MS) continue
    await unlink(draft).catch(() => {}) // then it stays
  }
}

const DRAFT_END = /^[0-9a-f-]{36}\.tmp$/

/** Without it, a power cut could undo the renaming. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    await using handle = await open(folder)
    await handle.sync()
  } catch {
    // Windows cannot open folders, and some file systems cannot sync them.
  }
}

export function isOwnFile({ uid }: Pick<Stats, 'uid'>): boolean {
  return isTrusted(uid)
}

/** Rejects with ELOOP for a link; does not wait for a pipe. */
export function openPrivateFile(path: string) {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  return open(path, O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0)) // Windows has neither
}

export async function readPrivateFile(path: string, maxBytes: number): Promise<Buffer> {
  await using file = await openPrivateFile(path)
  const facts = await file.stat()
  if (!facts.isFile()) throw Object.assign(new Error('it is not a plain file'), { code: 'EINVAL' })
  if (facts.size > maxBytes) throw Object.assign(new Error('it is too large'), { code: 'EFBIG' })
  return await file.readFile()
}

/** Differs after every change, even to a file of the same size within a moment. */
export async function fileVersion(path: string): Promise<string | null> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return [ino, size, mtimeNs, ctimeNs].join(' ')
  } catch (cause) {
    return codeOf(cause) === 'ENOENT' ? null : codeOf(cause)
  }
}

async function made(folder: string): Promise<Stats> {
  await makeWithParents(folder)
  const facts = await lstat(folder)
  if (facts.isSymbolicLink() && !isTrusted(facts.uid)) {
    throw Object.assign(new Error(`another user has made the link ${folder}`), { code: 'ELOOP' })
  }
  return facts
}

/** Node's `recursive` loops forever when a folder cannot be made although its parent exists: `/proc` says ENOENT. */
async function makeWithParents(folder: string, isAgain = false): Promise<void> {
  try {
    await mkdir(folder, 0o700)
  } catch (cause) {
    if (await isFolder(folder)) return
    if (codeOf(cause) !== 'ENOENT' || isAgain) throw cause
    const parent = dirname(folder)
    if (!(await isFolder(parent))) await makeWithParents(parent)
    await makeWithParents(folder, true)
  }
}

async function isFolder(path: string): Promise<boolean> {
  const facts = await stat(path).catch(() => null)
  return facts?.isDirectory() === true
}

function isTrusted(uid: number): boolean {
  return process.getuid === undefined || uid === process.getuid() || uid === 0
}

/** Returns whether the path can be written; false on a read-only mount, too. */
export async function isWritable(path: string): Promise<boolean> {
  try {
    await access(path, constants.W_OK)
    return true
  } catch {
    return false // whatever the reason is
  }
}
