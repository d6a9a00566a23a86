/** What a page has its reader type, and what the page says comes of it. */
export interface Step {
  /** Line of the page, from 1. */
  readonly line: number
  /** The text of a `sh` block. */
  readonly commands: string
  /** The lines of the `text` block behind it; null if the page shows none. */
  readonly shown: readonly string[] | null
  /** Why it cannot run on the machine of the test; null if it can. */
  readonly notRun: string | null
  /** Name of the terminal that stays busy with it; null if it ends by itself. */
  readonly terminal: string | null
  /** Runs on the machine of the test where the block cannot; null if nothing has to. */
  readonly instead: string | null
  /** Commands for what the page says the reader has already; empty if nothing. */
  readonly has: string
  /** Terminals that the reader ends with Ctrl-C before. */
  readonly interrupts: readonly string[]
  /** What the reader types into it. */
  readonly answers: string
  /** Whether one of its commands is meant to fail. */
  readonly mayFail: boolean
}

export interface Guide {
  readonly steps: readonly Step[]
  /** Whether its reader is root. */
  readonly asRoot: boolean
}

const BLOCK = /^( *)```(\w*)[^\n]*\n([^]*?)^\1```$/gm
const NOTE = /<!-- ([a-zA-Z-][a-zA-Z -]*?)(?:: ([^]*?))? -->/g

const NAMES: ReadonlySet<string> = new Set([
  'not run here',
  'instead',
  'has',
  'terminal',
  'ctrl-c',
  'types',
  'may fail',
  'as root'
])

/**
 * Reads the steps of a page. Comments before a block say what a reader knows and a program does not:
 *
 *   <!-- not run here: needs a cluster -->   the block is left out, for that reason
 *   <!-- terminal: gateway -->               the block keeps a terminal busy; the next ones are typed into another
 *   <!-- instead: COMMANDS -->               runs in its place where the rest of the page needs what it does
 *   <!-- has: COMMANDS -->                   makes what the reader has already
 *   <!-- ctrl-c: gateway -->                 ends that terminal first; `all` ends each
 *   <!-- types: y -->                        is typed when the block asks
 *   <!-- may fail -->                        a command of the block is meant to fail
 *   <!-- as root -->                         once, anywhere: the reader is root
 *
 * @throws {Error} a comment that is none of these stands before a block
 */
export function readGuide(page: string): Guide {
  const steps: Step[] = []
  let end = 0
  for (const match of page.matchAll(BLOCK)) {
    const [whole, indent = '', language, text = ''] = match
    const before = page.slice(end, match.index)
    end = match.index + whole.length
    const body = text.replaceAll(new RegExp(`^${indent}`, 'gm'), '').trimEnd()
    const last = steps.at(-1)
    if (language === 'text' && last !== undefined && last.shown === null && before.trim() === '')
      steps[steps.length - 1] = { ...last, shown: body.split('\n') }
    if (language === 'sh')
      steps.push({
        line: page.slice(0, match.index).split('\n').length,
        commands: body,
        shown: null,
        ...readNotes(before)
      })
  }
  return { steps, asRoot: page.includes('<!-- as root -->') }
}

type Notes = Omit<Step, 'line' | 'commands' | 'shown'>

function readNotes(before: string): Notes {
  const notes = new Map(
    Array.from(before.matchAll(NOTE), ([, name = '', value = '']) => [name, value] as const)
  )
  for (const name of notes.keys())
    if (!NAMES.has(name)) throw new Error(`a guide knows no comment "${name}"`)
  return {
    notRun: notes.get('not run here') ?? null,
    instead: notes.get('instead') ?? null,
    has: notes.get('has') ?? '',
    terminal: notes.get('terminal') ?? null,
    interrupts: notes.get('ctrl-c')?.split(', ') ?? [],
    answers: notes.get('types') ?? '',
    mayFail: notes.has('may fail')
  }
}

/**
 * Returns the first shown line that the output does not have, or null. Lines come in their order, one directly after the other; a
 * line that is only `…` stands for any lines, and `…` within a line for any text. A time of day stands for any.
 */
export function missingLine(shown: readonly string[], output: readonly string[]): string | null {
  return missingFrom({ shown, output: output.map((line) => line.trimEnd()) })
}

interface Compared {
  readonly shown: readonly string[]
  readonly output: readonly string[]
}

/** The first shown line may stand anywhere. */
function missingFrom({ shown, output }: Compared): string | null {
  let furthest = 0
  for (let start = 0; start < Math.max(1, output.length); start++) {
    const matched = matchedLines(shown, output.slice(start))
    if (matched === shown.length) return null
    furthest = Math.max(furthest, matched)
  }
  return shown[furthest] ?? null
}

/** How many shown lines the output begins with. */
function matchedLines(shown: readonly string[], output: readonly string[]): number {
  const [first] = shown
  if (first === undefined) return 0
  if (first.trim() === '…') {
    const rest = shown.slice(1)
    if (rest.length === 0) return 1
    const counts = output.map((_, start) => matchedLines(rest, output.slice(start)))
    return 1 + Math.max(0, ...counts)
  }
  const [line] = output
  if (line === undefined || !patternOf(first).test(line)) return 0
  return 1 + matchedLines(shown.slice(1), output.slice(1))
}

const TIME = /\d\d:\d\d:\d\d/g

function patternOf(shown: string): RegExp {
  const literal = shown.trimEnd().replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
  return new RegExp(
    `^${literal.replaceAll('…', '.*').replaceAll(TIME, String.raw`\d\d:\d\d:\d\d`)}$`
  )
}
