/**
 * Breaks the lines of a text between words, so that none is longer than `columns`; what follows stands below the line's
 * own text. Rows of a table, commands to be copied and longer words stay whole: a terminal breaks them, and what is
 * copied from there has no line break.
 */
export function wrapText(text: string, columns: number): string {
  return text
    .split('\n')
    .flatMap((line) => (line.length > columns ? wrapLine(line.trimEnd(), columns) : line))
    .join('\n')
}

/** Beginning of a line: blanks, and a word or an option with its value that a column follows. */
const HEAD = /^ *(?:\S+(?: \S+)* {2,})?(?=\S)/
const COMMAND = /^(?:npx|node|kiro-gateway|docker|curl) /

function wrapLine(line: string, columns: number): readonly string[] {
  const head = HEAD.exec(line)?.[0] ?? ''
  const rest = line.slice(head.length)
  if (head.length > columns / 2 || COMMAND.test(rest) || / {2,}\S/.test(rest)) return [line]
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
