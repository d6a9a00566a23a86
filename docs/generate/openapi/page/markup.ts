/** HTML that is safe to be part of a page. */
export class Markup {
  readonly html: string

  /** Takes HTML as it is: only what this program has written itself. */
  constructor(trusted: string) {
    this.html = trusted
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;'
}

/** HTML as it stands here; every text that is put into it shows as it is, and markup becomes a part of it. */
export function html(
  parts: TemplateStringsArray,
  ...values: readonly (string | Markup | readonly Markup[])[]
): Markup {
  const [first = '', ...others] = parts
  return new Markup(others.reduce((all, part, i) => all + toHtml(values[i] ?? '') + part, first))
}

function toHtml(value: string | Markup | readonly Markup[]): string {
  if (value instanceof Markup) return value.html
  if (typeof value === 'string') return escaped(value)
  return value.map((one) => one.html).join('')
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"]/g, (char) => ENTITIES[char] ?? '')
}

/** The little of Markdown that descriptions use: paragraphs, lists and `code`. */
export function prose(markdown: string): Markup {
  return html`${markdown.split('\n\n').map(toBlock)}`
}

/** The same within a line. */
export function phrase(markdown: string): Markup {
  const parts = markdown.split('`')
  return html`${parts.map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : html`${part}`))}`
}

function toBlock(block: string): Markup {
  if (!block.startsWith('- ')) return html`<p>${phrase(block)}</p>`
  const items = block.split('\n').map((line) => html`<li>${phrase(line.replace(/^- /, ''))}</li>`)
  return html`<ul>${items}</ul>`
}
