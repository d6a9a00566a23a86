import type { marked } from 'marked'
import { markup } from './markup.ts'

/** Returns where a link of a page leads at this gateway. */
export type PageLink = (target: string) => string

/** Returns the HTML of a page's Markdown: headings can be linked to as on GitHub, pictures are links, and nothing in it is a script. */
export function renderPage(library: typeof marked, text: string, linkTo: PageLink): string {
  const anchors = new Anchors()
  const { Renderer } = library
  const renderer = new Renderer()
  renderer.html = () => ''
  renderer.image = ({ href, text: title }) => markup`<a href="${linkTo(href)}">${title}</a>`.text
  renderer.link = function link({ href, tokens }) {
    return `${markup`<a href="${linkTo(href)}">`.text}${this.parser.parseInline(tokens)}</a>`
  }
  renderer.codespan = ({ text: code }) => {
    const id = CODE.test(code) ? anchors.first(code.toLowerCase()) : null
    return (id === null ? markup`<code>${code}</code>` : markup`<code id="${id}">${code}</code>`)
      .text
  }
  renderer.heading = function heading({ tokens, depth, text: title }) {
    const id = markup`${anchors.next(title)}`.text
    return `<h${depth} id="${id}">${this.parser.parseInline(tokens)}</h${depth}>\n`
  }
  return library.parse(text, { async: false, gfm: true, renderer })
}

/** An error's code: the panel leads to the row in which it first stands. */
const CODE = /^GW_[A-Z_]+$/

/** Names of headings, as GitHub makes them, and of codes. */
class Anchors {
  /** Bounded by the headings of a page. */
  readonly #seen = new Map<string, number>()

  /** Null if it has been used. */
  first(name: string): string | null {
    if (this.#seen.has(name)) return null
    this.#seen.set(name, 1)
    return name
  }

  next(title: string): string {
    const name = title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-')
    const count = this.#seen.get(name) ?? 0
    this.#seen.set(name, count + 1)
    return count === 0 ? name : `${name}-${count}`
  }
}
