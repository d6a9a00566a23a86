import { fillerText } from '../../../src/simulator/script.ts'
import { argumentsIn, ask, Dialects } from '../long-answers.ts'
import type { AbuseRow } from '../row.ts'

const Chars = 1_000_000
const PieceChars = [13, 20, 40, 97]
const AtOnce = 10

/** An agent that writes a large file is not hostile: what it writes arrives to the byte, and others notice nothing. */
export const row: AbuseRow = {
  name: 'long-tool-calls',
  what: `${AtOnce} calls at once with ${Chars} characters each, in pieces of ${PieceChars.join(', ')}, in every dialect, streamed and not`,
  must: { healthP99Ms: 100 },
  async attack(stand) {
    const expected = JSON.stringify({ text: fillerText(Chars) })
    let answers = 0
    for (const dialect of Dialects) {
      for (const isStream of [true, false]) {
        for (const piece of PieceChars) {
          const prompt = `use tool write with {"text":"x"} sim:arguments=${Chars} sim:piece=${piece} sim:gap=0`
          const question = { dialect, isStream, prompt }
          const all = await Promise.all(Array.from({ length: AtOnce }, () => ask(stand, question)))
          for (const answer of all) {
            const told = answer.status === 200 ? argumentsIn(question, answer) : answer.text
            if (told !== expected) {
              const how = isStream ? 'streamed' : 'collected'
              throw new Error(`${dialect}, ${how}, in pieces of ${piece}: ${told.slice(0, 300)}`)
            }
            answers++
          }
        }
      }
    }
    return `${answers} answers, each exact to the byte`
  }
}
