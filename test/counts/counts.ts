import { parseArgs } from 'node:util'
import { writeSection } from '../clients/compatibility-page.ts'
import { MODELS, SEEDS, tryCounts } from './count-trial.ts'
import { countsSection } from './counts-page.ts'

/**
 * `npm run counts [-- --model NAME] [--seeds 1,2] [--write]`: how far counts of requests are off, by model and kind of text, beside
 * real vocabularies, with the worst of some seeds.
 */

const { values } = parseArgs({
  options: {
    model: { type: 'string', multiple: true },
    seeds: { type: 'string' },
    write: { type: 'boolean', default: false }
  }
})
const { model: models = MODELS } = values
const seeds = values.seeds?.split(',').map(Number) ?? SEEDS
if (values.write && (models !== MODELS || seeds !== SEEDS))
  throw new Error('--write needs all models and seeds, without --model and --seeds')
const section = countsSection(tryCounts({ models, seeds }), seeds.length)
process.stdout.write(section)
if (values.write) writeSection(section)
