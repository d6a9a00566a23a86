import { randomUUID } from 'node:crypto'
import { open, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Replaces a file: readers see the old text or the new one, also after a crash. The folder must exist and be
 * writable. Rejects with Node's own error and leaves nothing behind.
 */
export async function writeAtomically(path: string, text: string, mode: number): Promise<void> {
  const draft = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`)
  try {
    const file = await open(draft, 'wx', mode)
    try {
      await file.writeFile(text)
      await file.chmod(mode) // the umask had its say when the file was made
      await file.sync() // a single-use token that is lost cannot be asked for again
    } finally {
      await file.close()
    }
    await rename(draft, path)
  } catch (error) {
    await unlink(draft).catch(() => {}) // may never have been made
    throw error
  }
}
