import path from 'node:path'

export interface ProgramPlace {
  /** Absolute path of `start.js`. */
  readonly entry: string
  readonly cwd: string
}

/**
 * Returns what to type to call this program again: `npx kiro-gateway` from npx or a project's packages, `kiro-gateway`
 * if it is installed globally, `node src/start.js` in a clone or in the image.
 */
export function programName({ entry, cwd }: ProgramPlace): string {
  const folders = entry.split(path.sep)
  if (folders.includes('node_modules')) {
    return isOfProject({ entry, cwd }) || folders.includes('_npx')
      ? 'npx kiro-gateway'
      : 'kiro-gateway'
  }
  const shown = isWithin(cwd, entry) ? path.relative(cwd, entry) : entry
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
      : text.replaceAll(COMMAND, (_match, end: string) => program + end)
  return named.replaceAll(PAGE, (page) => PAGES + page)
}

/**
 * A command behind it, or the end of what is quoted or the line: the service, the package and folders keep their name.
 * The same holds for what is typed on another machine, with npx.
 */
const COMMAND =
  /(?<![\w/.@-]|npx |npx --yes )kiro-gateway( (?:login|logout|token|whoami|setup|doctor|usage|top|key|fleet|lint|replay|service|update|completion|help|--help|COMMAND)\b| \[--| \[options)/g
const PAGE = /(?<![\w/.-])docs\/[a-z-]+\.md/g
