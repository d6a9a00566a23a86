import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { parseSocketTable } from '../helper/socket-table.ts'

/** TCP sockets that these processes have open and whose peer has gone (CLOSE_WAIT). */
export function countCloseWait(pids: readonly number[]): number {
  let count = 0
  for (const pid of pids) {
    const inodes = socketInodes(pid)
    const sockets = ['tcp', 'tcp6'].flatMap((name) => readTable(pid, name))
    for (const { state, inode } of sockets) {
      if (state === 'close-wait' && inodes.has(inode)) count += 1
    }
  }
  return count
}

function readTable(pid: number, name: string) {
  try {
    return parseSocketTable(readFileSync(`/proc/${pid}/net/${name}`, 'utf8'))
  } catch {
    return [] // no such process any more, or no IPv6 here
  }
}

function socketInodes(pid: number): ReadonlySet<number> {
  const inodes = new Set<number>()
  const folder = `/proc/${pid}/fd`
  for (const fd of namesIn(folder)) {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`${folder}/${fd}`))?.[1]
    if (inode !== undefined) inodes.add(Number(inode))
  }
  return inodes
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** Empty for what was closed between listing and looking. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
