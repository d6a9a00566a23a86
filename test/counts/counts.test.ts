import t from 'tap'
import { tryCounts } from './count-trial.ts'

const COLD = 0.15
const LEARNT = 0.05

t.setTimeout(600_000) // real vocabularies, on a machine that may be busy

for (const model of ['claude-haiku-5.5'])
  t.test(`counts of ${model} are right beside a real vocabulary`, async (t) => {
    for (const { kind, cold, learnt } of tryCounts({ models: [model], requests: 5, seed: 1 })) {
      t.ok(cold <= COLD, `${kind}, before anything is learnt: ${cold}`)
      t.ok(learnt <= LEARNT, `${kind}, after 20 answers: ${learnt}`)
    }
  })
