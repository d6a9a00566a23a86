import type { WrittenEntry } from './setup-memory.ts'
import {
  depthOf,
  textHash,
  type Path,
  removeValue,
  setValues,
  type TextFormat,
  valueOnPath
} from './text/text-format.ts'

export interface Entry {
  readonly path: Path
  readonly value: unknown
  /** An existing value stays. */
  readonly isDefault?: true
}

function withMark(text: string, change: (text: string) => string): string {
  const mark = text.startsWith('\ufeff') ? '\ufeff' : ''
  return mark + change(text.slice(mark.length))
}

export function readValues(format: TextFormat, text: string) {
  return format.read(text.startsWith('\ufeff') ? text.slice(1) : text)
}

export function writeEntries(format: TextFormat, text: string, entries: readonly Entry[]): string {
  return withMark(text, (inner) => setValues(format, inner, entries))
}

export function wantedEntries(values: unknown, entries: readonly Entry[]): readonly Entry[] {
  return entries.filter(
    ({ path, isDefault }) => isDefault !== true || (valueOnPath(values, path) ?? null) === null
  )
}

export function rememberEntries(
  values: unknown,
  entries: readonly Entry[]
): readonly WrittenEntry[] {
  return entries.map(({ path, value }) => {
    const before = valueOnPath(values, path)
    const written = { path, hash: hashValue(value), depth: depthOf(values, path) }
    return before === undefined ? written : { ...written, before }
  })
}

export interface Reverted {
  readonly text: string
  /** Changed by others since; they stay. */
  readonly kept: readonly Path[]
}

/** Restores former values; removes what was made, if nothing else is in it. */
export function revertEntries(
  format: TextFormat,
  text: string,
  written: readonly WrittenEntry[]
): Reverted {
  const kept: Path[] = []
  const reverted = withMark(text, (inner) =>
    written.toReversed().reduce((draft, one) => {
      const values = format.read(draft)
      const there = valueOnPath(values, one.path)
      if (there === undefined) return draft
      if (hashValue(there) !== one.hash) {
        kept.unshift(one.path)
        return draft
      }
      const { path, before } = one
      if (before !== undefined) return setValues(format, draft, [{ path, value: before }])
      return removeValue(format, draft, emptiedBy(values, one))
    }, inner)
  )
  return { text: reverted, kept }
}

function emptiedBy(values: unknown, { path, depth }: WrittenEntry): Path {
  let target = path
  while (target.length - 1 > depth && isAlone(values, target)) target = target.slice(0, -1)
  return target
}

/** True if there is only this place, besides the member that identifies a list element. */
function isAlone(values: unknown, path: Path): boolean {
  const step = path.at(-1)
  const parent = path.slice(0, -1)
  const around = valueOnPath(values, parent)
  if (Array.isArray(around)) return around.length === 1
  const outer = parent.at(-1)
  const identity = typeof outer === 'object' ? outer.member : null
  return Object.keys(Object(around)).every((name) => name === step || name === identity)
}

export function hashValue(value: unknown): string {
  return textHash(JSON.stringify(value ?? null))
}
