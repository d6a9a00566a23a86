import { globSync, readFileSync } from 'node:fs'
import { join, posix, sep } from 'node:path'
import { bundledProgram } from '../helper/program.ts'
import { GATEWAYS, isUncountedGateway } from './coverage-map.ts'

/**
 * Which process of `npm test` runs which test file. To start one, with tap's loaders and coverage, costs more CPU time
 * than most files need, so files that share nothing of their process run in a room: one process, one after the other.
 */

export type RoomName = keyof typeof FOLDERS | keyof typeof FIRST_WORDS

/** The folders of each room, whose entry is `test/rooms/NAME.ts`. */
const FOLDERS = {
  conversion: ['dialects', 'kiro', 'frames', 'reply'],
  control: [
    'control',
    'admission',
    'ipc',
    'credentials',
    'config',
    'observe',
    'shared',
    'keys',
    'devices',
    'dashboard',
    'fleet',
    'tracing'
  ],
  requests: ['server', 'requirements', 'compatibility'],
  network: [
    'upstream',
    'simulator',
    'chaos',
    'soak',
    'clients',
    'suites',
    'mutants',
    'cli',
    'docs',
    'guides',
    'rooms',
    '.'
  ]
} as const

/** First words in the names of files that ask real gateways, by rooms. The last one has all others. */
const FIRST_WORDS = {
  'gateways-fleet': ['fleet'],
  'gateways-panel': ['dashboard', 'description', 'device', 'devices', 'oidc', 'panel'],
  'gateways-keys': [
    'account',
    'alerts',
    'credits',
    'idle',
    'key',
    'learnt',
    'metered',
    'named',
    'pace',
    'plan',
    'secrets'
  ],
  'gateways-others': []
} as const

/** Many processes one after another: each file has its own time, and what goes wrong must not reach the next. */
const APART = [
  'test/transform/',
  'test/fuzz/',
  'test/counts/',
  'test/world/',
  'test/credentials/killed-renewal.test.ts',
  'test/fleet/fleet-model.test.ts',
  'test/guides/guides.test.ts',
  // Load the machine, or stop and kill what they start.
  ...[
    'bodies-to-the-byte',
    'bundle',
    'chaos',
    'cluster',
    'compile-cache',
    'crowded-door',
    'gateway-login',
    'large-bodies',
    'open-files',
    'package',
    'pool-settings',
    'prometheus',
    'proxy',
    'rolling-restart',
    'setup',
    'shared-budget',
    'signals',
    'silent-names',
    'startup',
    'stopped-process',
    'terminal',
    'words-of-two-keys'
  ].map((name) => `${GATEWAYS}${name}.test.ts`)
]

/** What concerns the whole process, by what a source says: measured there, or changed for all. */
const OF_THE_PROCESS = [
  /process\.(memoryUsage|cpuUsage|threadCpuUsage|resourceUsage|getActiveResourcesInfo|chdir|on|once)\b/,
  /\.\.\.process\.env\b/,
  /\/(cost|growth)\.ts'/,
  /\bsetFlagsFromString\b/,
  /\bintercept\(/,
  /\bmock\.timers\b/
]

/** Helpers that take longer at night; properties have more cases. */
const LONGER_AT_NIGHT = ['nightly.ts', 'fast-check.ts', 'request-properties.ts']

const root = join(import.meta.dirname, '../..')

/** All test files, by their paths from the root. */
export function testFiles(): readonly string[] {
  return globSync('test/**/*.test.ts', { cwd: root })
    .map((path) => path.replaceAll(sep, '/'))
    .toSorted()
}

/** Whether a test file needs a process of its own. */
export function isAlone(path: string): boolean {
  if (APART.some((folder) => path.startsWith(folder)) || roomOf(path) === undefined) return true
  const source = sourceOf(path)
  return OF_THE_PROCESS.some((sign) => sign.test(source))
}

/** The test files of a room, in the order in which they run. */
export function filesOf(room: RoomName): readonly string[] {
  return testFiles().filter((path) => roomOf(path) === room && !isAlone(path))
}

/** The room of a file that may share a process. */
function roomOf(path: string): RoomName | undefined {
  if (!path.startsWith(GATEWAYS)) return roomWith(FOLDERS, folderOf(path))
  if (!isUncountedGateway(path)) return undefined
  return roomWith(FIRST_WORDS, posix.basename(path).split(/[-.]/)[0]) ?? 'gateways-others'
}

function roomWith<Name extends string>(
  rooms: Readonly<Record<Name, readonly string[]>>,
  word = ''
): Name | undefined {
  const names = Object.keys(rooms) as Name[]
  return names.find((name) => rooms[name].includes(word))
}

/** What `npm test` gives to tap, which has its own order (`coverage-map.ts`). */
export function entries(): readonly string[] {
  const rooms = Object.keys({ ...FOLDERS, ...FIRST_WORDS }).map((name) => `test/rooms/${name}.ts`)
  return [...rooms, ...testFiles().filter(isAlone)]
}

/** What `npm run nightly` gives to tap: the files that have a longer form. */
export function nightlyFiles(): readonly string[] {
  return testFiles().filter((path) => {
    const source = sourceOf(path)
    return LONGER_AT_NIGHT.some((name) => source.includes(`/helper/${name}'`))
  })
}

function sourceOf(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

function folderOf(path: string): string {
  return posix.dirname(path).split('/')[1] ?? '.'
}

if (import.meta.main) {
  bundledProgram() // so that no test waits for it
  const files = process.argv.includes('--nightly') ? nightlyFiles() : entries()
  process.stdout.write(files.join('\n'))
}
