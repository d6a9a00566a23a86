import { realpathSync } from 'node:fs'
import path from 'node:path'

export interface ProgramPlace {
  /** Absolute path of `start.js`. */
  readonly entry: string
  readonly cwd: string
}

/** Returns the file behind `process.argv[1]`: npm installs a link to it, whose own path says nothing of the installation. */
export function entryOf(called: string): string {
  try {
    return realpathSync(called)
  } catch {
    return path.resolve(called)
  }
}

/**
 * Returns what to type to call this program again: `npx kiro-gateway` from npx or a project's packages, `kiro-gateway`
 * if it is installed globally, `node src/start.js` in a clone or in the image. Of the paths from this folder and from the
 * root, the shorter one.
 */
export function programName({ entry, cwd }: ProgramPlace): string {
  const folders = entry.split(path.sep)
  if (folders.includes('node_modules')) {
    return isOfProject({ entry, cwd }) || folders.includes('_npx')
      ? 'npx kiro-gateway'
      : 'kiro-gateway'
  }
  const [shown = entry] = [path.relative(cwd, entry), entry].toSorted((a, b) => a.length - b.length)
  return `node ${shown.includes(' ') ? JSON.stringify(shown) : shown}`
}

/** Returns whether npm finds the package from this folder: it is in `node_modules` there or above. */
export function isOfProject({ entry, cwd }: ProgramPlace): boolean {
  const folders = entry.split(path.sep)
  const above = folders.slice(0, folders.lastIndexOf('node_modules')).join(path.sep)
  return folders.includes('node_modules') && isWithin(above === '' ? path.sep : above, cwd)
}

function isWithin(folder: string, file: string): boolean {
  return !path.relative(folder, file).startsWith('..')
}

/** The project's pages, which packages do not have. */
const PAGES = 'https://github.com/kiro-gateway/kiro-gateway/blob/main/'

/** Commands in the text are named as the program was called, and its pages by their addresses. */
export function toShownText(text: string, program: string): string {
  const named =
    program === 'kiro-gateway'
      ? text
      : text.replaceAll(COMMAND, (_match, end = '') => program + end)
  return named.replaceAll(PAGE, (page) => PAGES + page)
}

/**
 * A command behind it, or the end of "then" and "Start it with:": the service, the package and folders keep their name.
 * The same holds for what is typed on another machine, with npx.
 */
const COMMAND =
  /(?<![\w/.@-]|npx |npx --yes )kiro-gateway(?:( (?:login|logout|token|whoami|setup|doctor|usage|top|key|fleet|lint|replay|service|update|completion|help|--help|COMMAND)\b| \[--| \[options)|(?<=(?:then "|Start it with: )kiro-gateway)(?=["\n]|$))/g
const PAGE = /(?<![\w/.-])docs\/(?:[a-z]+\/)?[a-z0-9-]+\.md/g
