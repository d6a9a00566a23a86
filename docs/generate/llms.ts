import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

const INDEX = join(import.meta.dirname, '../README.md')
/** For users; the others are for maintainers. */
const SECTIONS = ['Guides', 'Reference']

/**
 * `llms.txt`: what a program should know of the pages, and where each is. Its links hold in the repository and at a gateway alike.
 * @see https://llmstxt.org
 */
export function llmsText(): string {
  const index = readFileSync(INDEX, 'utf8')
  const lists = SECTIONS.map((name) => `## ${name}\n\n${entriesOf(sectionOf(index, name))}`)
  return `# kiro-gateway

> Serves the models of a Kiro subscription to clients of OpenAI Chat Completions, OpenAI Responses and Anthropic Messages, such as Claude Code and Codex.

A gateway listens on http://127.0.0.1:8000 unless SERVER_HOST and SERVER_PORT say otherwise. \`GET /v1/models\` lists the models, \`POST /v1/lint\` explains a request, and each error has its code in the header \`x-kiro-gateway-code\`. \`kiro-gateway doctor --json\` checks an installation. Each page is Markdown.

${lists.join('\n')}`
}

function sectionOf(page: string, name: string): string {
  const [, section = ''] = page.split(`\n## ${name}\n`)
  return section.split('\n## ')[0] ?? ''
}

/** A line for each page that a row of the section links to, with what the row says of it. */
function entriesOf(section: string): string {
  const rows = section.split('\n').filter((line) => line.startsWith('| ') && line.includes(']('))
  const lines = rows.flatMap((row) => {
    const cells = row.split('|').map((cell) => cell.trim())
    const linked = cells.find((cell) => cell.includes('](')) ?? ''
    const about = cells.find((cell) => cell !== '' && cell !== linked) ?? ''
    const links = [...linked.matchAll(/\[([^\]]+)\]\(([^)]+)\)/g)]
    const parts = about.split('; ')
    return links.map(([, title = '', path = ''], index) => {
      const own = parts.length === links.length ? parts[index] : about // else the row speaks of all its pages
      return `- [${titleOf(title)}](${posix.join('docs', path)}): ${own}\n`
    })
  })
  return lines.join('')
}

/** Later pages of a row are written in lower case, as in a sentence. */
function titleOf(text: string): string {
  const plain = text.replaceAll('`', '')
  return plain.includes('.') ? plain : plain.replace(/^./, (letter) => letter.toUpperCase())
}
