/**
 * A page with another text between `<!-- NAME, from the code: npm run generate -->` and `<!-- end of NAME -->`.
 *
 * @throws {Error} the page has no such place
 */
export function between(page: string, name: string, text: string): string {
  const [begin, end] = [
    `<!-- ${name}, from the code: npm run generate -->\n`,
    `<!-- end of ${name} -->`
  ]
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`there is no place for ${name}`)
  return `${page.slice(0, from)}${begin}\n${text}\n${page.slice(to)}`
}

/** A table in Markdown. */
export function toTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `${toRow(cells)}\n`).join('')
}

/** A row of a table. */
export function toRow(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`.replace('|  |', '| |')
}

/** How deep JSON has lines of its own: one for each operation, each schema, each header. */
const DEPTH = 3

/** JSON in lines that tell changes apart, and are not many. */
export function toLines(value: unknown, depth = DEPTH): string {
  const isOpen = depth > 0 && typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isOpen) return JSON.stringify(value)
  const members = Object.entries(value).map(
    ([name, member]) => `${JSON.stringify(name)}:${toLines(member, depth - 1)}`
  )
  return `{\n${members.join(',\n')}\n}${depth === DEPTH ? '\n' : ''}`
}
