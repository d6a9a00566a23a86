import { parseArgs } from 'node:util'
import { writeSection } from '../clients/compatibility-page.ts'
import { MODELS, tryCounts } from './count-trial.ts'
import { countsSection } from './counts-page.ts'

/** `npm run counts [-- --model NAME] [--write]`: how far counts of requests are off, by model and kind of text, beside real vocabularies. */

const { values } = parseArgs({
  options: { model: { type: 'string' }, write: { type: 'boolean', default: false } }
})
if (values.write && values.model !== undefined)
  throw new Error('--write needs all models, without --model')
const section = countsSection(
  tryCounts({ models: values.model === undefined ? MODELS : [values.model] })
)
process.stdout.write(section)
if (values.write) writeSection(section)
