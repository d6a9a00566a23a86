import t from 'tap'
import { isNightly } from '../helper/nightly.ts'
import { MODELS, tryCounts } from './count-trial.ts'

const COLD = 0.15
const LEARNT = 0.05

t.setTimeout(600_000) // real vocabularies, on a machine that may be busy

/** One model of each vocabulary; at night those of the page of compatibility, and its requests. */
const trial = isNightly
  ? { models: MODELS }
  : { models: ['claude-haiku-5.5', 'gpt-5.6-luna'], requests: 4, seeds: [1] }

for (const model of trial.models)
  t.test(`counts of ${model} are right beside a real vocabulary`, async (t) => {
    for (const { kind, cold, learnt } of tryCounts({ ...trial, models: [model] })) {
      t.ok(cold <= COLD, `${kind}, before anything is learnt: ${cold}`)
      t.ok(learnt <= LEARNT, `${kind}, after 20 answers: ${learnt}`)
    }
  })
