import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const PAGE = fileURLToPath(new URL('../../docs/compatibility.md', import.meta.url))
const HEADING = '## Clients that were tried'

/** Puts a table of results into the page of what works with what. */
export function writeCompatibility(table: string): void {
  writeSection(`${HEADING}\n\n${EXPLANATION}\n\n${table}`)
}

/** Puts a section into that page, in the place of the one with its heading. */
export function writeSection(section: string): void {
  const page = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '# Compatibility\n'
  writeFileSync(PAGE, withSection(page, section))
}

/** `page` with `section` in the place of the one with its heading, or at the end. */
export function withSection(page: string, section: string): string {
  const heading = section.slice(0, section.indexOf('\n'))
  const start = `\n${page}`.indexOf(`\n${heading}\n`)
  if (start < 0) return `${page.trimEnd()}\n\n${section}`
  const end = page.indexOf('\n## ', start)
  return page.slice(0, start) + section + (end < 0 ? '' : page.slice(end))
}

const EXPLANATION = `\`npm run test:clients -- --write\` installs these versions from npm, sets each up as its users would, lets it loose on the
gateway with the simulator behind it, and writes this table. A name in the last column but one is something else that was
tried; **failed** would be in the place of what went wrong.

- **prompt**: a long answer arrives whole.
- **tool loop**: in one turn the client's own tools write two files, in the next a third is read, and the answer has its
  text. The files have the very bytes that the model wrote, quotes, escapes and emoji included.
- **resume**: a session is ended and resumed, and the model knows what was said.
- **wrong key**: the client gives up within seconds.
- **thinking**: the model reasons in every round of a loop of tools, and what a client sends back of it goes up as it came.
  OpenClaw over Messages changes what was said before it: there it is refused once, and the loop goes on without it.
- **PDF**: a document reaches the model as it is, by a tool of the client or with the prompt.
- **quota**: one that is used up in the middle of a loop of tools ends it. The upstream is asked once; beside it stands how
  many requests the client sends until it gives up; where it is more than one, it waits longer each time.`
