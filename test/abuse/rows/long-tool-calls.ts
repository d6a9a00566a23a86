import { fillerText } from '../../strict-simulator/odd-answers.ts'
import { ProcessTree } from '../../bench/process-tree.ts'
import { argumentsIn, askAtOnce, Dialects, type LongQuestion } from '../long-answers.ts'
import type { AbuseRow } from '../row.ts'
import type { AbuseStand } from '../stand.ts'

const Chars = 1_000_000
const PieceChars = [13, 20, 40, 97] as const
const AtOnce = 10
/** How much more CPU time answers of twice the length may take. */
const MostGrowth = 2.4

type Way = Pick<LongQuestion, 'dialect' | 'isStream'>

/** An agent that writes a large file is not hostile: what it writes arrives to the byte, and others notice nothing. */
export const row: AbuseRow = {
  name: 'long-tool-calls',
  what: `${AtOnce} calls at once with ${Chars} characters each, in pieces of ${PieceChars.join(', ')}, in every dialect, streamed and not`,
  must: { healthP99Ms: 100 },
  async attack(stand) {
    const figures: string[] = []
    for (const dialect of Dialects) {
      for (const isStream of [true, false]) {
        const way = { dialect, isStream }
        const [piece, ...others] = PieceChars
        let cost = await costOf(stand, way, piece)
        // Once more where it seems too much: others' CPU time is part of it.
        if (cost.growth > MostGrowth) cost = await costOf(stand, way, piece)
        for (const other of others) await askAll(stand, way, { chars: Chars, piece: other })
        const { wholeMs, growth } = cost
        figures.push(`${nameOf(way)} ${(wholeMs / AtOnce).toFixed(0)} ms × ${growth.toFixed(2)}`)
        stand.progress(figures.at(-1) ?? '')
        if (growth > MostGrowth) throw new Error(`CPU time is not linear: ${figures.at(-1)}`)
      }
    }
    const answers = Dialects.length * 2 * PieceChars.length * AtOnce
    return `${answers} answers, each exact to the byte; CPU of one in pieces of ${PieceChars[0]}, × of half of it: ${figures.join(', ')}`
  }
}

/** What answers cost, and how many times as much as those of half the length. */
async function costOf(stand: AbuseStand, way: Way, piece: number) {
  const halfMs = await cpuMs(stand, () => askAll(stand, way, { chars: Chars / 2, piece }))
  const wholeMs = await cpuMs(stand, () => askAll(stand, way, { chars: Chars, piece }))
  return { wholeMs, growth: wholeMs / halfMs }
}

/** @throws if one is not exact */
async function askAll(
  stand: AbuseStand,
  way: Way,
  { chars, piece }: { readonly chars: number; readonly piece: number }
): Promise<void> {
  const expected = JSON.stringify({ text: fillerText(chars) })
  const prompt = `use tool write with {"text":"x"} sim:arguments=${chars} sim:piece=${piece} sim:gap=0`
  const question = { ...way, prompt }
  const all = await askAtOnce(stand, question, AtOnce)
  const told = all.map((answer) =>
    answer.status === 200 ? argumentsIn(question, answer) : answer.text
  )
  const wrong = told.filter((one) => one !== expected)
  if (wrong.length === 0) return
  const what = `${nameOf(way)}, in pieces of ${piece}: ${wrong.length} of ${AtOnce} are wrong`
  throw new Error(`${what}: ${wrong[0]?.slice(0, 300)}`)
}

function nameOf({ dialect, isStream }: Way): string {
  return `${dialect} ${isStream ? 'streamed' : 'collected'}`
}

/** CPU time of the gateway's processes meanwhile, with the little that the bystanders take of it. */
async function cpuMs({ gateway }: AbuseStand, run: () => Promise<unknown>): Promise<number> {
  const processes = new ProcessTree(gateway.child.pid ?? 0)
  const before = processes.cpuMs()
  await run()
  return processes.cpuMs() - before
}
