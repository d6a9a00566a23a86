import { existsSync } from 'node:fs'
import path from 'node:path'
import { isInContainer } from '../shared/container-marks.ts'
import { entryOf, isOfProject } from '../shared/program-name.ts'

/** `copy`: files without git or npm. */
export type Installation = 'npx' | 'global' | 'project' | 'clone' | 'image' | 'copy'

export interface InstalledAt {
  /** Absolute path of `start.js`. */
  readonly entry: string
  readonly cwd: string
  readonly exists: (path: string) => boolean
}

/** Recognises the installation by where its files are. */
export function installationOf({ entry, cwd, exists }: InstalledAt): Installation {
  const folders = entry.split(path.sep)
  const root = path.resolve(path.dirname(entry), '..')
  if (folders.includes('_npx')) return 'npx'
  if (folders.includes('node_modules')) return isOfProject({ entry, cwd }) ? 'project' : 'global'
  if (exists(path.join(root, '.git'))) return 'clone'
  return isInContainer(exists) ? 'image' : 'copy'
}

export interface RunningProgram {
  readonly entry: string
  readonly installation: Installation
}

/** Returns what runs this process. */
export function programHere(): RunningProgram {
  const entry = entryOf(process.argv[1] ?? '')
  return { entry, installation: installationOf({ entry, cwd: process.cwd(), exists: existsSync }) }
}
