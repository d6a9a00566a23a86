import { readdirSync, readFileSync } from 'node:fs'
import { ProcessTree } from './process-tree.ts'

/** CPU time of all threads that live now in a process and what it started, to the nanosecond. Of Linux only. */
export function threadTimeMs(root: number): number {
  const times = new ProcessTree(root).pids().flatMap((pid) => {
    return foldersIn(`/proc/${pid}/task`).map((tid) => timeOf(`/proc/${pid}/task/${tid}/schedstat`))
  })
  return times.reduce((sum, ms) => sum + ms, 0)
}

function foldersIn(path: string): readonly string[] {
  try {
    return readdirSync(path)
  } catch {
    return [] // it has ended meanwhile
  }
}

/** The first number is nanoseconds on a CPU. */
function timeOf(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8').split(' ')[0]) / 1e6
  } catch {
    return 0
  }
}
