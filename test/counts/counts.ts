import { tryCounts } from './count-trial.ts'

/**
 * `npm run counts`: how far the counts of requests are off, by model and kind of text, beside real vocabularies: before
 * anything was learnt, and after 20 answers of all kinds. `-- --model NAME` tries one model.
 */

const MODELS = ['claude-sonnet-4.6', 'claude-opus-5', 'claude-haiku-5.5', 'gpt-5.6-luna', 'kimi-k3']
const at = process.argv.indexOf('--model')
const named = at === -1 ? undefined : process.argv[at + 1]

process.stdout.write(
  '| model | kind of text | cold | after 20 answers | the client’s part alone |\n| --- | --- | --- | --- | --- |\n'
)
for (const model of named === undefined ? MODELS : [named]) {
  for (const { kind, cold, learnt, ownLearnt } of tryCounts({ models: [model] })) {
    const cells = [cold, learnt, ownLearnt].map((error) => `${(error * 100).toFixed(1)} %`)
    process.stdout.write(`| ${model} | ${kind} | ${cells.join(' | ')} |\n`)
  }
}
