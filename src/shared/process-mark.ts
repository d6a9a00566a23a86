import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { codeOf } from './errors.ts'

/** Within one place, process ids mean the same. */
export function placeOf(): string {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')} ${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}`
  } catch {
    return hostname() // not Linux: there are no namespaces
  }
}

export interface ProcessMark {
  readonly place: string
  readonly pid: number
  readonly start: string | null
}

export function markOf(pid: number): ProcessMark {
  return { place: placeOf(), pid, start: startTimeOf(pid) }
}

export function fateOf({ place, pid, start }: ProcessMark): 'running' | 'gone' | 'unknown' {
  if (place !== placeOf()) return 'unknown'
  return isAlive(pid, start) ? 'running' : 'gone'
}

export function isAlive(pid: number, start: string | null): boolean {
  try {
    process.kill(pid, 0)
  } catch (cause) {
    return codeOf(cause) !== 'ESRCH'
  }
  const now = startTimeOf(pid)
  return start === null || now === null || now === start // another process may have the number by now
}

/** Start in the kernel's ticks; `''` for a zombie, `null` if unknown. */
export function startTimeOf(pid: number): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' ? '' : (fields[18] ?? null)
  } catch {
    return null
  }
}
