import { ask } from '../long-answers.ts'
import type { AbuseRow } from '../row.ts'
import type { AbuseStand } from '../stand.ts'

const Names = 330_000
const Frames = 125_000
const Answers = 24
const AtOnce = 4

/** Frames that say nothing: all headers, or not even those. Reading one must cost no more than reading text. */
export const row: AbuseRow = {
  name: 'empty-frames',
  what: `${Answers} answers, ${AtOnce} at once, with a frame of ${Names} headers, and as many with ${Frames} frames of nothing`,
  async attack(stand) {
    const names = await askInTurns(stand, `sim:header-names=${Names}`)
    const wrong = names.find((text) => !text.includes('frame larger than the limit'))
    if (wrong !== undefined) throw new Error(`not refused: ${wrong.slice(-300)}`)
    const frames = await askInTurns(stand, `sim:empty-frames=${Frames}`)
    const broken = frames.find((text) => !text.endsWith('[DONE]\n\n'))
    if (broken !== undefined) throw new Error(`not whole: ${broken.slice(-300)}`)
    return `${names.length} refused, ${frames.length} whole`
  }
}

/** The last of each answer. */
async function askInTurns(stand: AbuseStand, words: string): Promise<string[]> {
  const prompt = `hi sim:events=2 sim:gap=0 ${words}`
  const texts: string[] = []
  const askOn = async (): Promise<void> => {
    while (texts.length <= Answers - AtOnce) {
      const { text } = await ask(stand, { dialect: 'chat', isStream: true, prompt })
      texts.push(text)
    }
  }
  await Promise.all(Array.from({ length: AtOnce }, askOn))
  return texts
}
