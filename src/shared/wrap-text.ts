/**
 * Breaks the lines of a text between words, so that none is longer than `columns`; what follows stands below the line's
 * own text. Rows of a table, commands, JSON and lines of a file that are to be copied, and longer words stay whole: a terminal
 * breaks them, and what is copied from there has no line break.
 */
export function wrapText(text: string, columns: number): string {
  return text
    .split('\n')
    .flatMap((line) => (line.length > columns ? wrapLine(line.trimEnd(), columns) : line))
    .join('\n')
}

/** Beginning of a line: blanks, and a word or an option with its value that a column follows. */
const HEAD = /^ *(?:\S+(?: \S+)* {2,})?(?=\S)/
/** Begins a command, JSON, a row of Markdown, or a line of a unit or a property list. */
const COPIED =
  /^(?:(?:npx|npm|node|kiro-gateway|docker|curl|git|sudo|runuser) |[/{["|#<]|[A-Z]\w*=)/

/** Beginning of a message: the command as it was called, a colon and a sentence. */
const SAID = /^(?:npx|node|kiro-gateway)(?: [^\s'"]+)*: \S/

/** Beginning of a line of usage: it is read, not copied. */
const USAGE = /^(?:Usage:| {6}) (?=(?:npx|node|kiro-gateway) )/
const USAGE_INDENT = ' '.repeat(11)
/** A word of usage, or an option with its value; brackets may stand in brackets. */
const USAGE_WORD = /\[(?:[^[\]]|\[[^\]]*\])*\]|\S+/g

function wrapLine(line: string, columns: number): readonly string[] {
  const usage = USAGE.exec(line)?.[0] ?? null
  if (usage !== null) {
    const words = line.slice(usage.length).match(USAGE_WORD) ?? []
    return wrapWords(words, { head: usage, indent: USAGE_INDENT, columns })
  }
  const head = HEAD.exec(line)?.[0] ?? ''
  const rest = line.slice(head.length)
  if (head.length > columns / 2 || isCopied(rest) || / {2,}\S/.test(rest)) return [line]
  return wrapWords(rest.split(' '), { head, indent: ' '.repeat(head.length), columns })
}

function isCopied(text: string): boolean {
  return COPIED.test(text) && !SAID.test(text)
}

interface Hanging {
  /** Stands before the first line. */
  readonly head: string
  /** Stands before the lines that follow. */
  readonly indent: string
  readonly columns: number
}

function wrapWords(
  words: readonly string[],
  { head, indent, columns }: Hanging
): readonly string[] {
  const lines: string[] = []
  let last = head
  for (const word of words) {
    const isFirst = last === head
    if (!isFirst && last.length + 1 + word.length > columns) {
      lines.push(last)
      last = indent + word
    } else last += isFirst ? word : ` ${word}`
  }
  return [...lines, last]
}
