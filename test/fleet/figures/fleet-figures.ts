import { parseArgs } from 'node:util'
import { engineCommands } from './engine-commands.ts'
import { engineDown } from './engine-down.ts'
import { borrowing, killed } from './lending-figures.ts'
import { singleMemory } from './single-memory.ts'

/**
 * `npm run fleet:figures`: what several replicas cost and how fast they lend, measured with real processes, one part after
 * the other. `--only lending` measures one; `--before PATH` compares the memory of a gateway without FLEET_URL with that of
 * the source in another folder.
 */

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, before: { type: 'string' } }
})
const { before } = values
const PARTS: Readonly<Record<string, (row: (text: string) => void) => Promise<void>>> = {
  lending: borrowing,
  killed,
  'Valkey down': engineDown,
  commands: engineCommands,
  ...(before !== undefined && { memory: (row) => singleMemory(before, row) })
}
for (const [name, measure] of Object.entries(PARTS)) {
  if (!name.includes(values.only)) continue
  await measure((text) => void process.stdout.write(`${name}: ${text}\n`))
}
