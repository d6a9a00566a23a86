import {
  depthOf,
  textHash,
  type Path,
  removeValue,
  setValue,
  setValues,
  type TextFormat,
  valueOnPath
} from './text/text-format.ts'

/** A value that setup wants at one place of a configuration. */
export interface Entry {
  readonly path: Path
  /** A `Leaf`, or what is there already. */
  readonly value: unknown
  /** An existing value stays, whatever it is. */
  readonly isDefault?: true
}

/** A value that setup wrote, and the one before it: enough to undo it in a file that has changed since. */
export interface WrittenEntry {
  readonly path: Path
  /** Hash of the value that was written. */
  readonly hash: string
  /** Value before; missing where there was none. */
  readonly before?: unknown
  /** Number of leading path steps that existed before. */
  readonly depth: number
}

/** A text whose byte order mark is kept apart from it. */
function withMark(text: string, change: (text: string) => string): string {
  const mark = text.startsWith('\ufeff') ? '\ufeff' : ''
  return mark + change(text.slice(mark.length))
}

/** The values of a text that may begin with a byte order mark. */
export function readValues(format: TextFormat, text: string) {
  return format.read(text.startsWith('\ufeff') ? text.slice(1) : text)
}

/** Writes what is wanted into a text. What is there and may stay is left alone. */
export function writeEntries(format: TextFormat, text: string, entries: readonly Entry[]): string {
  return withMark(text, (inner) => setValues(format, inner, entries))
}

/** The entries that are to be written into a text that says this: without those whose place may stay as it is. */
export function wantedEntries(values: unknown, entries: readonly Entry[]): readonly Entry[] {
  return entries.filter(
    ({ path, isDefault }) => isDefault !== true || (valueOnPath(values, path) ?? null) === null
  )
}

/** Returns what must be remembered of the values that entries are written over. */
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
  /** Places changed by others since setup wrote them; they stay. */
  readonly kept: readonly Path[]
}

/** Takes back what was written: what was there before is there again, what was made is gone if nothing else is in it. */
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
      if (one.before !== undefined) return setValue(format, draft, one.path, one.before)
      return removeValue(format, draft, emptiedBy(values, one))
    }, inner)
  )
  return { text: reverted, kept }
}

/** The outermost thing that was made for an entry and has nothing else in it. */
function emptiedBy(values: unknown, { path, depth }: WrittenEntry): Path {
  let target = path
  while (target.length - 1 > depth && isAlone(values, target)) target = target.slice(0, -1)
  return target
}

/** True if only this place, and the member that identifies a list element, is there. */
function isAlone(values: unknown, path: Path): boolean {
  const step = path.at(-1)
  const parent = path.slice(0, -1)
  const around = valueOnPath(values, parent)
  if (Array.isArray(around)) return around.length === 1
  const outer = parent.at(-1)
  const identity = typeof outer === 'object' ? outer.member : null
  return Object.keys(Object(around)).every((name) => name === step || name === identity)
}

/** Hashes a value, to tell whether it is still as it was written. */
export function hashValue(value: unknown): string {
  return textHash(JSON.stringify(value ?? null))
}
