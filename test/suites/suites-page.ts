import type { SuiteResult } from './run-suites.ts'

const HEADING = '## Test suites of others'

const EXPLANATION = `\`npm run suites -- --write\` installs these suites at pinned versions, runs them against a gateway, and writes this section.
Behind the gateway stands the simulator with a model that does what a prompt asks for. A [workflow](../.github/workflows/suites.yml)
runs them every night; a test that fails and is not excluded below fails it, as does an exclusion that nothing needs. Suites for
Python run with the package that is installed (\`SUITES_PYTHON\`), whose version the table shows: it may be older than the one that the workflow
installs (\`test/suites/programs/requirements.txt\`). "Not run" means that the machine which wrote this table had no such package, so that
suite has no result yet.
A copy of a repository's tests may lack comments and have smaller pictures than the original, which the workflow fetches.

The rows about types compare every answer, whole and streamed, with the types that the vendor's SDK declares: nothing that
they require may be missing. Beyond them the gateway tells a few things on purpose: \`usage.credits_used\`, \`usage.hidden_tokens\` and \`usage.tokens_within\`, \`reasoning_content\` in Chat
Completions, and in lists of models their windows, descriptions and efforts.`

/** The section of the page of compatibility that says how each suite ended. */
export function suitesSection(results: readonly SuiteResult[]): string {
  const head = ['suite', 'version', 'passed', 'excluded', 'failed']
  const rows = [head, head.map(() => '---'), ...results.map(toRow)]
  const table = rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
  return `${HEADING}\n\n${EXPLANATION}\n\n${table}\n\n${exclusionsOf(results)}\n`
}

function toRow({ suite, verdict, version, isCopy }: SuiteResult): readonly string[] {
  const { source } = suite
  const commit = source === undefined ? '' : `${source.repository}@${source.commit.slice(0, 7)}`
  const origin = isCopy ? `copy of ${commit}` : commit
  const versions = [origin, version === '' ? '' : `${packageOf(suite)} ${version}`]
  const named = versions.filter((text) => text !== '').join(', ')
  if (verdict === null) return [suite.name, named, 'not run', '–', '–']
  const excluded = verdict.excluded.reduce((sum, { names }) => sum + names.length, 0)
  const failed = verdict.failures.length
  return [suite.name, named, String(verdict.passed), String(excluded), failedCell(failed)]
}

function packageOf({ packages, pythonPackage }: SuiteResult['suite']): string {
  return pythonPackage ?? Object.keys(packages)[0] ?? ''
}

function failedCell(failed: number): string {
  return failed === 0 ? '0' : `**${failed}**`
}

function exclusionsOf(results: readonly SuiteResult[]): string {
  const rows = results.flatMap(({ suite, verdict }) =>
    (verdict?.excluded ?? []).map(({ reason, names }) => {
      return `| ${suite.id} | ${namesCell(names)} | ${reason} |`
    })
  )
  if (rows.length === 0) return 'Nothing is excluded.'
  return ['| excluded in | tests | because |', '| --- | --- | --- |', ...rows].join('\n')
}

const MAX_NAMED = 3

/** Few tests are named, many are counted. */
function namesCell(names: readonly string[]): string {
  return names.length > MAX_NAMED ? String(names.length) : names.join('; ')
}
