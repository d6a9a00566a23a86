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
export const GATEWAYS = 'test/integration/'
/** Rooms of such files; most of their time is waiting, so they start first. */
const GATEWAY_ROOMS = 'test/rooms/gateways-'

/** Take a minute and longer, most of it waiting: they start first, so that none of them runs alone at the end. */
const LONGEST = ['fleet-sign-in', 'stopped-log-reader', 'tracing', 'usage-after-deaths'].map(
  (name) => `${GATEWAYS}${name}.test.ts`
)

/** Run commands, and a gateway of a fleet from its sources, as processes, and reach code that no other test does. */
const COMMANDS = ['doctor', 'fleet-command', 'lint-probe', 'replay'].map(
  (name) => `${GATEWAYS}${name}.test.ts`
)

/** No file has this name. tap starts files in this order: those that are `null` here, then those whose list is empty, then the others. */
const NOTHING = ['nothing']

/** For tap: the files whose coverage is counted, all where the list is empty. Rooms wait much, so they start before the gateways. */
export default function coveredBy(path: string): readonly string[] | null {
  const isFirst = MEASURING.includes(path) || LONGEST.includes(path)
  if (isFirst || path.startsWith(GATEWAY_ROOMS)) return null
  return isUncountedGateway(path) ? NOTHING : []
}

/** Whether a file asks real gateways, is not counted, and may start when it likes: such files may share a process. */
export function isUncountedGateway(path: string): boolean {
  return path.startsWith(GATEWAYS) && !COMMANDS.includes(path) && !LONGEST.includes(path)
}
