import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { parseArgs } from 'node:util'
import { seededRandom } from '../helper/seeded-random.ts'
import { type Unit, unitsOf } from './faults.ts'
import { type Copy, copyOf, judge, type JudgeOptions, testsFor } from './judge.ts'

/**
 * `npm run mutants`: puts faults into a copy of `--commit`, one at a time, and runs the tests that may notice each. `--seed` draws
 * them, `--count` of them, over all rooms of `src/` in proportion to their code. With `--before COMMIT` they are drawn from code
 * that both versions have, and the tests of both are asked. `--record FILE` keeps what was found, so that a run that was ended
 * goes on where it was; its commit has to be the same. `--through "nice -n 19"` starts each test through a command.
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '25' },
    count: { type: 'string', default: '100' },
    commit: { type: 'string', default: 'HEAD' },
    before: { type: 'string' },
    record: { type: 'string' },
    through: { type: 'string', default: '' },
    seconds: { type: 'string', default: '120' },
    tests: { type: 'string', default: '10' },
    integration: { type: 'string', default: '3' },
    list: { type: 'boolean', default: false }
  }
})

interface Place {
  readonly path: string
  readonly unit: Unit
}

interface Mutant {
  readonly number: number
  readonly room: string
  readonly place: Place
  readonly fault: number
  readonly before: Place | null
}

/** What is known of a mutant in one version. */
interface Result {
  readonly number: number
  readonly version: 'now' | 'before'
  readonly caughtBy: string | null
  readonly tried: number
}

const options: JudgeOptions = {
  through: values.through.split(' ').filter((word) => word !== ''),
  secondsPerTest: Number(values.seconds),
  maxTests: Number(values.tests),
  maxIntegrationTests: Number(values.integration)
}
const project = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'mutants-'))
process.once('SIGTERM', () => process.exit(1)) // and `exit` takes the copies away
process.once('SIGINT', () => process.exit(1))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

const now = copyOf(values.commit, project, join(folder, 'now'))
const before =
  values.before === undefined ? null : copyOf(values.before, project, join(folder, 'before'))
const mutants = chosen(Number(values.count), Number(values.seed))
if (values.list) for (const mutant of mutants) console.log(titleOf(mutant))
else await judgeAll()

/** Judges the version of today first: what it does not notice is what the one before is asked about first. */
async function judgeAll(): Promise<void> {
  const results = readRecord()
  const known = (version: Result['version'], number: number): Result | undefined =>
    results.find((one) => one.version === version && one.number === number)
  const judgeOne = async (
    copy: Copy,
    version: Result['version'],
    mutant: Mutant
  ): Promise<void> => {
    if (known(version, mutant.number) !== undefined) return
    const place = version === 'now' ? mutant.place : mutant.before
    if (place === null) return
    const sameTest = known('now', mutant.number)?.caughtBy
    const tests = testsFor(copy, place.path, options)
    if (sameTest !== undefined && sameTest !== null && copy.tests.includes(sameTest))
      tests.unshift(sameTest)
    const text = withFault(copy, place, mutant.fault)
    const { caughtBy, tried } = await judge(
      copy,
      { path: place.path, text, tests: [...new Set(tests)] },
      options
    )
    const result: Result = { number: mutant.number, version, caughtBy, tried: tried.length }
    results.push(result)
    if (values.record !== undefined) appendFileSync(values.record, `${JSON.stringify(result)}\n`)
    console.log(
      `${version}: ${titleOf(mutant)}: ${caughtBy ?? `not noticed by ${tried.join(', ')}`}`
    )
  }
  for (const mutant of mutants) await judgeOne(now, 'now', mutant)
  const survivorsFirst = mutants.toSorted(
    (a, b) => Number(isCaught(known('now', a.number))) - Number(isCaught(known('now', b.number)))
  )
  if (before !== null) for (const mutant of survivorsFirst) await judgeOne(before, 'before', mutant)
  print(results)
}

function print(results: readonly Result[]): void {
  const caught = (version: Result['version'], numbers: readonly number[]): number =>
    results.filter(
      (one) => one.version === version && numbers.includes(one.number) && isCaught(one)
    ).length
  console.log(
    before === null
      ? '| room | mutants | caught |\n| --- | --- | --- |'
      : '| room | mutants | caught before | caught now |\n| --- | --- | --- | --- |'
  )
  for (const room of [...new Set(mutants.map((one) => one.room).toSorted()), 'all']) {
    const numbers = mutants
      .filter((one) => room === 'all' || one.room === room)
      .map((one) => one.number)
    const cells = [
      room,
      numbers.length,
      ...(before === null ? [] : [caught('before', numbers)]),
      caught('now', numbers)
    ]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

function isCaught(result: Result | undefined): boolean {
  return result !== undefined && result.caughtBy !== null
}

function readRecord(): Result[] {
  if (values.record === undefined || !existsSync(values.record)) return []
  const lines = readFileSync(values.record, 'utf8').trim().split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Result)
}

/** Chooses faults by chance: of every room in proportion to its faults, at least one, and no two in one unit. */
function chosen(count: number, seed: number): readonly Mutant[] {
  const random = seededRandom(seed)
  const places = placesOf(now)
  const olds =
    before === null ? null : new Map(placesOf(before).map((place) => [place.unit.key, place]))
  const rooms = new Map<string, Place[]>()
  for (const place of places) {
    if (place.unit.faults.length === 0) continue
    if (olds !== null && !olds.has(place.unit.key)) continue
    const room = roomOf(place.path)
    rooms.set(room, [...(rooms.get(room) ?? []), place])
  }
  const drawn: Omit<Mutant, 'number'>[] = []
  for (const [room, share] of sharesOf(rooms, count)) {
    const left = [...(rooms.get(room) ?? [])]
    for (let taken = 0; taken < share && left.length > 0; taken++) {
      const [place] = left.splice(byWeight(left, random()), 1)
      if (place === undefined) continue
      const fault = Math.floor(random() * place.unit.faults.length)
      drawn.push({ room, place, fault, before: olds?.get(place.unit.key) ?? null })
    }
  }
  // Mixed, so that a run that is ended early has looked at every room.
  const mixed = drawn.map((mutant) => ({ mutant, at: random() })).toSorted((a, b) => a.at - b.at)
  return mixed.map(({ mutant }, index) => ({ number: index + 1, ...mutant }))
}

function placesOf(copy: Copy): readonly Place[] {
  return copy.sources.flatMap((path) =>
    unitsOf(readFileSync(join(copy.root, path), 'utf8')).map((unit) => ({ path, unit }))
  )
}

/** Divides `count` among the rooms by their faults, with the largest remainders rounded up. */
function sharesOf(
  rooms: ReadonlyMap<string, readonly Place[]>,
  count: number
): ReadonlyMap<string, number> {
  const weights = [...rooms].map(([room, places]) => ({ room, weight: weightOf(places) }))
  const sum = weights.reduce((all, { weight }) => all + weight, 0)
  const shares = weights.map(({ room, weight }) => {
    const exact = (count * weight) / sum
    const share = Math.max(1, Math.floor(exact))
    return { room, share, rest: exact - share }
  })
  let left = count - shares.reduce((all, { share }) => all + share, 0)
  for (const one of shares.toSorted((a, b) => b.rest - a.rest)) if (left-- > 0) one.share++
  return new Map(shares.map(({ room, share }) => [room, share]))
}

function byWeight(places: readonly Place[], chance: number): number {
  let rest = chance * weightOf(places)
  return Math.max(
    0,
    places.findIndex((place) => (rest -= place.unit.faults.length) < 0)
  )
}

function weightOf(places: readonly Place[]): number {
  return places.reduce((sum, place) => sum + place.unit.faults.length, 0)
}

function roomOf(path: string): string {
  const [top = '', room = ''] = path.split('/')
  return top !== 'src' ? top : posix.extname(room) === '' ? room : 'entry'
}

function withFault(copy: Copy, { path, unit }: Place, index: number): string {
  const source = readFileSync(join(copy.root, path), 'utf8')
  const fault = unit.faults[index]
  if (fault === undefined) throw new Error(`${path} has no fault ${index} in ${unit.name}`)
  const at = unit.start + fault.start
  return source.slice(0, at) + fault.to + source.slice(unit.start + fault.end)
}

function titleOf({ number, place: { path, unit }, fault: index }: Mutant): string {
  const fault = unit.faults[index]
  if (fault === undefined) throw new Error(`${unit.name} has no fault ${index}`)
  const { kind, start, end, to } = fault
  const lineStart = unit.text.lastIndexOf('\n', start) + 1
  const lineEnd = `${unit.text}\n`.indexOf('\n', end)
  const changed = unit.text.slice(lineStart, start) + to + unit.text.slice(end, lineEnd)
  const from = unit.text.slice(start, end).replace(/\s+/g, ' ')
  return `${number}. ${path} ${unit.name}: ${kind}: \`${from}\` → \`${changed.trim()}\``
}
