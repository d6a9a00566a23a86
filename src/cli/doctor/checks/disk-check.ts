import { randomUUID } from 'node:crypto'
import { open, statfs, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { codeOf } from '../../../shared/errors.ts'
import type { Check } from './checkup.ts'
import { type DoctorFinding, found } from './finding.ts'

const MEBIBYTE = 1024 * 1024
/** Tokens take a few KB; with less, any log fills the disk. */
const LEAST_BYTES = 8 * MEBIBYTE
/** Beyond what the Responses API may keep. */
const SPARE_BYTES = 64 * MEBIBYTE
const SLOW_MS = 2_000

export const diskCheck: Check = {
  id: 'disk',
  title: 'disk of STATE_DIR',
  async run({ config }) {
    const folder = resolve(config.credentials.stateDir)
    const space = await spaceOf(folder)
    const findings = space === null ? [] : judgeSpace(space, config.responses.storeMaxBytes)
    return [...findings, ...(await trySync(folder))]
  }
}

interface Space {
  readonly freeBytes: number
  readonly freeFiles: number | null
}

async function spaceOf(folder: string): Promise<Space | null> {
  try {
    const { bavail, bsize, files, ffree } = await statfs(folder)
    return { freeBytes: bavail * bsize, freeFiles: files === 0 ? null : ffree }
  } catch (cause) {
    const parent = dirname(folder)
    return codeOf(cause) === 'ENOENT' && parent !== folder ? spaceOf(parent) : null
  }
}

export function judgeSpace(
  { freeBytes, freeFiles }: Space,
  storeMaxBytes: number
): readonly DoctorFinding[] {
  const free = `STATE_DIR has ${Math.floor(freeBytes / MEBIBYTE)} MB of free space`
  if (freeFiles === 0)
    return [
      found(
        'disk-full',
        'The file system of STATE_DIR is out of inodes, so no more files can be created.'
      )
    ]
  if (freeBytes < LEAST_BYTES) return [found('disk-full', `${free}, which is too little.`)]
  const wanted = storeMaxBytes + SPARE_BYTES
  if (freeBytes >= wanted) return []
  return [found('disk-low', `${free}; ${Math.ceil(wanted / MEBIBYTE)} MB may be needed.`)]
}

/** Writes, syncs and removes a small file. Creates no folder. */
async function trySync(folder: string): Promise<readonly DoctorFinding[]> {
  const path = join(folder, `.doctor-${randomUUID()}`)
  const begun = performance.now()
  try {
    await using file = await open(path, 'wx', 0o600)
    await file.writeFile('x'.repeat(4096))
    await file.sync()
  } catch (cause) {
    return judgeWriteFailure(codeOf(cause))
  } finally {
    await unlink(path).catch(() => {}) // was never made
  }
  const ms = Math.round(performance.now() - begun)
  const what = `A file was written to STATE_DIR and synced in ${ms} ms.`
  return [found(ms > SLOW_MS ? 'disk-slow' : 'disk-durable', what)]
}

function judgeWriteFailure(code: string): readonly DoctorFinding[] {
  // Missing or not ours to write: reported by the files check.
  if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(code)) return []
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return [found('disk-full', `There is no space for a file of 4 KB (${code}).`)]
  return [found('state-unwritable', `STATE_DIR cannot be written (${code}).`)]
}
