import type { CountRow } from './count-trial.ts'

const HEADING = '## Errors of counts'

const explanationOf = (
  seeds: number
): string => `Measured against the simulator's model of an upstream, not against Kiro. \`npm run counts -- --write\` makes requests of each kind, counts
them as the gateway does and with real vocabularies in the ratios of [kiro-protocol](design/kiro-protocol.md) and a hidden prompt, and writes this
section. Figures are the error that 95 of 100 requests stay within (p95), with the worst of ${seeds} seeds: of the whole, before anything was
learnt (*cold*) and after 20 answers of all kinds; and then of the client's part alone, which is \`input_tokens\`. What a real account shows is in
[\`kiro_gateway_token_count_error_ratio\`](metrics.md) and the panel.`

/** The section of the page of compatibility that says how far counts are off. */
export function countsSection(rows: readonly CountRow[], seeds: number): string {
  const head = ['model', 'kind of text', 'cold', 'after 20 answers', "the client's part alone"]
  const cells = rows.map(({ model, kind, cold, learnt, ownLearnt }) => [
    model,
    kind,
    ...[cold, learnt, ownLearnt].map((error) => `${(error * 100).toFixed(1)} %`)
  ])
  const table = [head, head.map(() => '---'), ...cells].map((row) => `| ${row.join(' | ')} |`)
  return `${HEADING}\n\n${explanationOf(seeds)}\n\n${table.join('\n')}\n`
}
