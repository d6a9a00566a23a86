import { readFileSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

/** Writes over the first page of a table or an index. */
export function scribble(path: string, name: string): void {
  const db = new DatabaseSync(path, { timeout: 20_000 })
  const root = db.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').get(name)
  const size = Number(db.prepare('PRAGMA page_size').get()?.['page_size'])
  db.close() // which writes all into the file
  const page = Number(root?.['rootpage'] ?? 1) - 1
  const bytes = readFileSync(path)
  bytes.fill(0x5a, page * size + (page === 0 ? 100 : 0), (page + 1) * size) // the first begins with a header
  writeFileSync(path, bytes)
}
