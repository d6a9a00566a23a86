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

function wrapLine(line: string, columns: number): readonly string[] {
  const head = HEAD.exec(line)?.[0] ?? ''
  const rest = line.slice(head.length)
  if (head.length > columns / 2 || COPIED.test(rest) || / {2,}\S/.test(rest)) return [line]
  const indent = ' '.repeat(head.length)
  const lines: string[] = []
  let last = head
  for (const word of rest.split(' ')) {
    const isFirst = last.length === head.length
    if (!isFirst && last.length + 1 + word.length > columns) {
      lines.push(last)
      last = indent + word
    } else last += isFirst ? word : ` ${word}`
  }
  return [...lines, last]
}
