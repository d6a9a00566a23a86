import type { SourceFile } from './layer-rules.ts'

/** A member of a class, with its comment: from `#name` to the end of what it starts as. */
interface Field {
  readonly name: string
  readonly text: string
  readonly comment: string
}

/** What can grow: made here, or of a type that others may add to. */
const GROWS =
  /new (?:Map|Set|(?!Weak)[A-Z]\w*(?:Queue|List|Map|Set))\b|(?<!Readonly|Weak)(?:Map|Set)<|= \[\]|(?<!readonly )\b[\w>)]+\[\]/
/** These never grow, whatever else the declaration says. */
const NEVER_GROWS = /^(?:static )?(?:readonly )?#?\w+\??: (?:Readonly(?:Map|Set)<|readonly )[^=]*$/
const BOUND = /\bBounded by\b/
/** What V8 (or a buffer) makes a view of, which keeps the whole that it was cut from. */
const CUTS = /\.(?:slice|substring|substr|subarray|split|match|exec)\(/
const STORES = /^\s*this\.#?\w+(?:(?:\.\w+)* (?:=|\?\?=|\|\|=) |\.(?:set|add|push|unshift)\()/
const SLICE_NOTE = /\bslice\b/i

/** Fields of classes that can grow and whose comment does not say "Bounded by …". */
export function unboundedFields(file: SourceFile): readonly string[] {
  return fieldsOf(file.text)
    .filter(({ text }) => GROWS.test(text) && !NEVER_GROWS.test(text))
    .filter(({ comment }) => !BOUND.test(comment))
    .map(({ name }) => `${file.path}: ${name}`)
}

/** Statements that keep a part of something larger in a field, neither `detach()`ed nor with a comment that speaks of the slice. */
export function keptSlices(file: SourceFile): readonly string[] {
  const lines = file.text.split('\n')
  return lines.flatMap((line, at) => {
    const statement = statementAt(lines, at)
    if (!STORES.test(line) || !CUTS.test(statement) || statement.includes('detach(')) return []
    const comment = `${commentAbove(lines, at)} ${/\/\/.*$/.exec(line)?.[0] ?? ''}`
    return SLICE_NOTE.test(comment) ? [] : [`${file.path}: ${line.trim()}`]
  })
}

/** Biome indents every member of a class on the first level by two spaces, and closes it with `}` at the margin. */
function fieldsOf(source: string): readonly Field[] {
  const fields: Field[] = []
  const lines = source.split('\n')
  let isInClass = false
  for (const [at, line] of lines.entries()) {
    if (/^(?:export )?(?:default )?(?:abstract )?class /.test(line)) isInClass = true
    if (line === '}') isInClass = false
    const name = /^ {2}(?:(?:static|readonly|declare|override) )*(#?\w+)\??(?:: | = )/.exec(line)
    if (!isInClass || name === null) continue
    const text = statementAt(lines, at)
    fields.push({ name: name[1] ?? '', text: text.trim(), comment: commentAbove(lines, at) })
  }
  return fields
}

/** A statement with all the lines that are indented below it. */
function statementAt(lines: readonly string[], at: number): string {
  const indent = indentOf(lines[at] ?? '')
  let end = at + 1
  while (end < lines.length && indentOf(lines[end] ?? '') > indent) end += 1
  return lines.slice(at, end).join('\n')
}

function commentAbove(lines: readonly string[], at: number): string {
  let start = at
  while (/^\s*(?:\/\*|\*|\/\/)/.test(lines[start - 1] ?? '')) start -= 1
  return lines.slice(start, at).join(' ')
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length
}
