/** How one thing that was tried with a client ended. */
export interface Finding {
  readonly trial: string
  /** What went wrong, or `null`. */
  readonly problem: string | null
  /** What else the table says of it. */
  readonly note?: string
  readonly seconds: number
}

/** What was found out about one way of using a client. */
export interface Result {
  readonly client: string
  readonly version: string
  readonly api: string
  readonly findings: readonly Finding[]
}

const COLUMNS = ['prompt', 'tool loop', 'resume', 'wrong key', 'thinking', 'PDF', 'quota']

/** A Markdown table of `results`, a line for each. */
export function resultsTable(results: readonly Result[]): string {
  const head = ['client', 'version', 'API', ...COLUMNS, 'more', 'seconds']
  const rows = [head, head.map(() => '---'), ...results.map(toRow)]
  return `${rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`
}

function toRow({ client, version, api, findings }: Result): string[] {
  const columns = COLUMNS.map((name) => {
    const finding = findings.find(({ trial }) => trial === name)
    return finding === undefined ? '–' : verdictOf(finding)
  })
  const more = findings
    .filter(({ trial }) => !COLUMNS.includes(trial))
    .map((finding) => `${finding.trial}${finding.problem === null ? '' : ' **failed**'}`)
  const seconds = findings.reduce((sum, finding) => sum + finding.seconds, 0)
  return [client, version, api, ...columns, more.join(', '), seconds.toFixed(0)]
}

function verdictOf({ problem, note }: Finding): string {
  if (problem !== null) return '**failed**'
  return note === undefined ? 'ok' : `ok, ${note}`
}
