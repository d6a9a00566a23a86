import { realpath } from 'node:fs/promises'
import { resolve } from 'node:path'

/** One name for a folder, however it is written; also for one that is still to be made. */
export function realFolder(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path))
}
