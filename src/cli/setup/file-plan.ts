import {
  type Entry,
  hashValue,
  readValues,
  rememberEntries,
  revertEntries,
  wantedEntries,
  writeEntries
} from './entries.ts'
import type { FileRecord } from './setup-memory.ts'
import { Json5Text, JsonText } from './text/json-text.ts'
import { textHash, type Path, type TextFormat, valueOnPath } from './text/text-format.ts'
import { TomlText } from './text/toml-text.ts'
import { YamlText } from './text/yaml-text.ts'

export interface FilePlan {
  /** `null`: remove the file. */
  readonly after: string | null
  readonly record: FileRecord | null
  /** Changed by others since; they stay. */
  readonly kept: readonly Path[]
}

export interface FileState {
  readonly format: TextFormat
  readonly current: string | null
  readonly record: FileRecord | null
}

export function textFormatOf(path: string, isJson5 = false): TextFormat {
  if (isJson5) return Json5Text
  if (path.endsWith('.toml')) return TomlText
  return path.endsWith('.yaml') ? YamlText : JsonText
}

/** Plans a file; undoes unwanted entries of setup, never others' changes. @throws {GatewayError} GW_CLIENT_FILE */
export function planSetup(state: FileState, entries: readonly Entry[]): FilePlan {
  const { format, current, record } = state
  const text = current ?? ''
  const wanted = settle(readValues(format, text), entries, record)
  const places = new Set(entries.map(placeOf))
  const stale = record?.written.filter((one) => !places.has(placeOf(one))) ?? []
  const after = writeEntries(format, revertEntries(format, text, stale).text, wanted)
  if (after === current) return { after, record, kept: [] }
  const original = originalOf(state)
  const written = rememberEntries(readValues(format, original ?? ''), wanted)
  return { after, record: { original, hash: textHash(after), written }, kept: [] }
}

/** Existing values of setup that may stay remain its own, for undo. */
function settle(
  values: unknown,
  entries: readonly Entry[],
  record: FileRecord | null
): readonly Entry[] {
  const own = new Map(record?.written.map((one) => [placeOf(one), one.hash]))
  const wanted = new Set(wantedEntries(values, entries))
  return entries.flatMap((entry) => {
    if (wanted.has(entry)) return entry
    const there = valueOnPath(values, entry.path)
    return own.get(placeOf(entry)) === hashValue(there) ? { ...entry, value: there } : []
  })
}

function originalOf({ format, current, record }: FileState): string | null {
  if (record === null || current === null) return current
  if (textHash(current) === record.hash) return record.original
  return withoutWritten(format, current, record).after
}

/** Restores an unchanged file exactly; else removes only setup's values. @throws {GatewayError} GW_CLIENT_FILE */
export function planUndo({ format, current, record }: FileState): FilePlan {
  if (record === null) return { after: current, record, kept: [] }
  const isUntouched = current === null || textHash(current) === record.hash
  if (isUntouched || current === record.original) {
    return { after: record.original, record: null, kept: [] }
  }
  return { ...withoutWritten(format, current, record), record: null }
}

function withoutWritten(format: TextFormat, current: string, { original, written }: FileRecord) {
  const { text, kept } = revertEntries(format, current, written)
  const isEmpty = original === null && Object.keys(readValues(format, text)).length === 0
  return { after: isEmpty ? null : text, kept }
}

function placeOf({ path }: { readonly path: Path }): string {
  return JSON.stringify(path)
}
