import { type ClientFile, removeClientFile, wantedMode, writeClientFile } from './client-files.ts'
import type { FileRecord } from './file-plan.ts'
import type { RememberedFile, SetupMemory } from './setup-memory.ts'
import type { TextFormat } from './text/text-format.ts'

export interface FileInHand {
  readonly file: ClientFile
  readonly format: TextFormat
  readonly remembered: RememberedFile | null
}

export interface FileChange {
  readonly inHand: FileInHand
  /** `null`: remove the file. */
  readonly after: string | null
  readonly record: FileRecord | null
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
  const { file, remembered } = inHand
  if (after === null) {
    if (file.text !== null) await removeClientFile(file, remembered?.folders ?? [])
  } else if (after !== file.text) await writeClientFile(file, after, formerMode(inHand))
  await memory.forget(file.path)
  return null
}

async function write(
  { inHand, after, record, holdsKey }: FileChange,
  memory: SetupMemory
): Promise<string | null> {
  const { file, remembered } = inHand
  if (after === null || record === null || after === file.text) return null
  const mode = wantedMode(file, holdsKey)
  await memory.remember({
    version: 1,
    path: file.path,
    mode: remembered === null ? file.mode : remembered.mode,
    folders: [...new Set([...(remembered?.folders ?? []), ...file.missingFolders])],
    original: record.original,
    hash: record.hash,
    written: record.written.map((one) => ({ ...one, path: [...one.path] }))
  })
  await writeClientFile(file, after, mode)
  const isClosed = file.mode !== null && file.mode !== mode
  return isClosed ? `${file.path} now holds a key and is readable only by you.` : null
}

function formerMode({ file, remembered }: FileInHand): number {
  const former = remembered?.mode ?? null
  const isOurs =
    file.mode === null || file.mode === (former ?? file.mode) || (file.mode & 0o077) === 0
  return isOurs && former !== null ? former : (file.mode ?? 0o600)
}
