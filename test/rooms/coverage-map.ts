/** Files that measure what things cost: with the counters of coverage that is many times as much, and not what it costs. */
const MEASURING = [
  'dialects/answer-cost',
  'dialects/answer/stop-sequences',
  'dialects/growing-bodies',
  'dialects/growing-fields',
  'dialects/kept-plan',
  'dialects/request/content-blocks'
].map((name) => `test/${name}.test.ts`)

/** Start real gateways by the hundred. Counting there takes half as much CPU time again and adds little to what other tests reach. */
const GATEWAYS = 'test/integration/'

/** Reach what no other test does: the commands, as somebody runs them. */
const COMMANDS = ['doctor', 'fleet-command', 'replay', 'terminal'].map(
  (name) => `${GATEWAYS}${name}.test.ts`
)

/** For tap: nothing is counted in some files; in all others whatever they reach. */
export default function coveredBy(path: string): readonly string[] | null {
  const isOfGateways = path.startsWith(GATEWAYS) && !COMMANDS.includes(path)
  return isOfGateways || MEASURING.includes(path) ? null : []
}
