import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { GatewayError } from '../../shared/errors.ts'
import { type PageLink, renderPage } from './doc-html.ts'

/** Found by a file: the builds for package and image move files, not folders. */
const ROOT = path.join(
  fileURLToPath(new URL('../../../docs/openapi.json', import.meta.url)),
  '../..'
)
/** Other folders are for maintainers, and not in the package. */
const FOLDERS = ['docs', 'docs/guides']
/** The page that leads to all others. */
export const INDEX = 'docs/README.md'
export const LLMS = 'llms.txt'
/** Files that have a path of their own. */
const OTHERS: ReadonlyMap<string, string> = new Map([
  ['docs/openapi.json', 'openapi.json'],
  [LLMS, LLMS]
])
const REPOSITORY = 'https://github.com/kiro-gateway/kiro-gateway/blob/main/'

/** The project's pages that are here: all of a clone, and those for users of a package. Their texts are the repository's. */
export class DocPages {
  readonly #root: string
  /** From the root. */
  readonly #paths: ReadonlySet<string>
  /** Bounded by the number of pages. */
  readonly #made = new Map<string, string>()

  constructor(root = ROOT) {
    this.#paths = new Set(FOLDERS.flatMap((folder) => pagesIn(root, folder)))
    this.#root = root
  }

  /**
   * Markdown of a page, with links that hold here.
   * @throws {GatewayError} GW_ROUTE_UNKNOWN
   */
  async markdown(page: string): Promise<string> {
    const text = await this.#read(page)
    const linkTo = this.#linksOf(page, '.md')
    return text.replaceAll(LINK, (_, target: string) => `](${linkTo(target)})`)
  }

  /**
   * The body of a page for a browser.
   * @throws {GatewayError} GW_ROUTE_UNKNOWN
   */
  async body(page: string): Promise<string> {
    const made = this.#made.get(page)
    if (made !== undefined) return made
    const { marked } = await import('marked')
    const body = renderPage(marked, await this.#read(page), this.#linksOf(page, ''))
    this.#made.set(page, body)
    return body
  }

  async #read(page: string): Promise<string> {
    const isHere = this.#paths.has(page) || page === LLMS
    if (isHere) return readFile(path.join(this.#root, page), 'utf8')
    const message = 'There is no such page here. The pages are listed at /docs/guides.'
    throw new GatewayError('GW_ROUTE_UNKNOWN', undefined, { message })
  }

  #linksOf(page: string, ending: '' | '.md'): PageLink {
    const folder = path.posix.dirname(page)
    return (target) => {
      if (/^(?:[a-z]+:|#)/.test(target)) return target
      const [file = '', fragment] = target.split('#')
      const to = path.posix.normalize(path.posix.join(folder, file))
      const here = this.#placeOf(to, ending)
      const place = here === null ? REPOSITORY + to : relative(folder, here)
      return fragment === undefined ? place : `${place}#${fragment}`
    }
  }

  /** Path at this gateway of a file of the project; null if it is not served. */
  #placeOf(file: string, ending: '' | '.md'): string | null {
    if (file === INDEX && ending === '') return 'docs/guides'
    if (this.#paths.has(file)) return file.replace(/\.md$/, ending)
    return OTHERS.get(file) ?? null
  }
}

/** The index of guides is at the path of their folder. */
function relative(folder: string, place: string): string {
  return folder === place ? `../${path.posix.basename(place)}` : path.posix.relative(folder, place)
}

const LINK = /\]\(([^)\s]+)\)/g

function pagesIn(root: string, folder: string): readonly string[] {
  try {
    const names = readdirSync(path.join(root, folder))
    return names.filter((name) => name.endsWith('.md')).map((name) => `${folder}/${name}`)
  } catch {
    return [] // a package without pages
  }
}
