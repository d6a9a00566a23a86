import { type ClientFile, removeClientFile, wantedMode, writeClientFile } from './client-files.ts'
import type { FilePlan, FileState } from './file-plan.ts'
import type { RememberedFile, SetupMemory } from './setup-memory.ts'

export interface FileInHand extends FileState {
  readonly file: ClientFile
  readonly record: RememberedFile | null
}

export interface FileChange extends FilePlan {
  readonly inHand: FileInHand
  readonly holdsKey: boolean
}

interface Means {
  readonly memory: SetupMemory
  readonly isUndo: boolean
}

/** Stores data for undo first. Resolves with notes for the user. @throws {GatewayError} GW_CLIENT_FILE */
export async function applyChange(
  change: FileChange,
  { memory, isUndo }: Means
): Promise<string | null> {
  if (!isUndo) return write(change, memory)
  const { inHand, after } = change
  const { file, record } = inHand
  if (after === null) {
    if (file.text !== null) await removeClientFile(file, record?.folders ?? [])
  } else if (after !== file.text) await writeClientFile(file, after, formerMode(inHand))
  await memory.forget(file.path)
  return null
}

async function write(
  { inHand, after, record, holdsKey }: FileChange,
  memory: SetupMemory
): Promise<string | null> {
  const { file, record: before } = inHand
  if (after === null || record === null || after === file.text) return null
  const mode = wantedMode(file, holdsKey)
  await memory.remember({
    version: 1,
    path: file.path,
    mode: before === null ? file.mode : before.mode,
    folders: [...new Set([...(before?.folders ?? []), ...file.missingFolders])],
    original: record.original,
    hash: record.hash,
    written: record.written
  })
  await writeClientFile(file, after, mode)
  const isClosed = file.mode !== null && file.mode !== mode
  return isClosed ? `${file.path} now holds a key and is readable only by you.` : null
}

function formerMode({ file, record }: FileInHand): number {
  const former = record?.mode ?? null
  const isOurs =
    file.mode === null || file.mode === (former ?? file.mode) || (file.mode & 0o077) === 0
  return isOurs && former !== null ? former : (file.mode ?? 0o600)
}
