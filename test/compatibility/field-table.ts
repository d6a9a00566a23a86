import { readFileSync } from 'node:fs'

export type Treatment = 'mapped' | 'emulated' | 'ignored' | 'refused'

/** One line of a table of docs/compatibility.md. */
export interface FieldRow {
  readonly field: string
  readonly treatment: Treatment
  readonly note: string
}

const ROW = /^\| `([^`]+)` \| (mapped|emulated|ignored|refused) \| (.+) \|$/

/** The rows of the table under a heading; every line of it must be one. */
export function readFieldTable(heading: string): readonly FieldRow[] {
  const path = new URL('../../docs/compatibility.md', import.meta.url)
  const [, section] = readFileSync(path, 'utf8').split(`\n## ${heading}\n`)
  if (section === undefined) throw new Error(`docs/compatibility.md has no "${heading}"`)
  const [own = ''] = section.split('\n## ')
  const lines = own.split('\n').filter((line) => line.startsWith('|'))
  const [head, rule, ...rows] = lines
  if (head !== '| field | treatment | what happens |' || rule !== '| --- | --- | --- |') {
    throw new Error(`the table under "${heading}" begins with ${head}`)
  }
  return rows.map((line) => {
    const [, field = '', treatment = '', note = ''] = ROW.exec(line) ?? []
    if (!isTreatment(treatment)) throw new Error(`no row of a field: ${line}`)
    return { field, treatment, note }
  })
}

function isTreatment(word: string): word is Treatment {
  return ['mapped', 'emulated', 'ignored', 'refused'].includes(word)
}
