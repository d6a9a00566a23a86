import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Chance } from './chance.ts'
import { Unsynced } from './unsynced.ts'

/** All that can be lost is, and a file that is torn has none of its new bytes. */
const UNLUCKY = { isTrue: () => false, random: () => 0 } as unknown as Chance

interface Steps {
  readonly isSynced: boolean
  readonly isFolderSynced: boolean
}

/** A folder with an older file, beside which the program writes a new one, as `replaceFile()` does. */
function replaced(
  t: Test,
  { isSynced, isFolderSynced }: Steps
): { folder: string; disk: Unsynced } {
  const folder = mkdtempSync(join(tmpdir(), 'unsynced-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [draft, path] = [join(folder, 'draft'), join(folder, 'file')]
  writeFileSync(path, 'old')
  const disk = new Unsynced()
  const fd = Number(disk.onPath('open', [draft, 'wx'], () => openSync(draft, 'wx')))
  disk.onHandle('writeFile', draft, () => fs.writeFileSync(fd, 'new'))
  if (isSynced) disk.onHandle('sync', draft, () => fs.fsyncSync(fd))
  closeSync(fd)
  disk.onPath('rename', [draft, path], () => fs.renameSync(draft, path))
  if (isFolderSynced) disk.onHandle('sync', folder, () => {})
  return { folder, disk }
}

t.test('what is left of a file that was replaced when the machine loses power', (t) => {
  const cases = [
    { isSynced: true, isFolderSynced: true, left: 'new' },
    { isSynced: true, isFolderSynced: false, left: 'old' },
    { isSynced: false, isFolderSynced: true, left: '' }
  ]
  for (const { left, ...steps } of cases) {
    const { folder, disk } = replaced(t, steps)
    disk.lose(folder, UNLUCKY)
    t.equal(readFileSync(join(folder, 'file'), 'utf8'), left, JSON.stringify(steps))
  }
  t.end()
})

t.test('a file that is new in a folder that was not synced is gone', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'unsynced-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [path, disk] = [join(folder, 'file'), new Unsynced()]
  disk.onPath('writeFile', [path], () => fs.writeFileSync(path, 'new'))
  disk.lose(join(folder, 'elsewhere'), UNLUCKY)
  t.equal(existsSync(path), true, 'another machine has lost power')
  disk.lose(folder, UNLUCKY)
  t.equal(existsSync(path), false)
  t.end()
})
