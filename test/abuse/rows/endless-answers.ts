import { askAtOnce, Dialects, endOf } from '../long-answers.ts'
import type { AbuseRow } from '../row.ts'

/** More than any answer may have. */
const Bytes = 20 * 1024 * 1024
const SizeChars = 1024
const AtOnce = 2
const Collected = 100
/** Of these at once; with more the simulator, which makes 20 MiB for each, is what everybody waits for. */
const CollectedAtOnce = 20

const Kinds = {
  text: `sim:events=${Bytes / SizeChars} sim:size=${SizeChars}`,
  reasoning: `sim:thoughts=${Bytes / SizeChars} sim:size=${SizeChars}`,
  arguments: `use tool write with {"text":"x"} sim:arguments=${Bytes} sim:piece=1024`
} as const
/** How a dialect says that a stream is not all of the answer. */
const Incomplete = {
  chat: 'length',
  responses: 'max_output_tokens',
  messages: 'max_tokens'
} as const

/** A model that never stops, or an upstream that has gone mad, ends its own answer only. */
export const row: AbuseRow = {
  name: 'endless-answers',
  what: `${AtOnce} answers at once of ${Bytes / 2 ** 20} MiB of text, reasoning or arguments, in every dialect, streamed and not; ${Collected} collected, ${CollectedAtOnce} at once`,
  async attack(stand) {
    let streams = 0
    const refused = new Set<string>()
    const refuse = (status: number, text: string): void => {
      const code =
        /GW_\w+|answer_too_large|too long[^.]*|longer than \w+/.exec(text)?.[0] ??
        text.slice(0, 200)
      if (status !== 502 && status !== 503) throw new Error(`${status} ${code}`)
      refused.add(`${status} ${code}`)
    }
    for (const [kind, words] of Object.entries(Kinds)) {
      for (const dialect of Dialects) {
        for (const isStream of [true, false]) {
          const question = { dialect, isStream, prompt: `${words} sim:gap=0` }
          const all = await askAtOnce(stand, question, AtOnce)
          for (const { status, text } of all) {
            if (!isStream) refuse(status, text)
            else if (status !== 200 || endOf(dialect, text) !== Incomplete[dialect]) {
              throw new Error(`${kind}, ${dialect}: ${status} ${endOf(dialect, text)}`)
            } else streams++
          }
        }
        stand.progress(`${kind}, ${dialect}`)
      }
    }
    const question = {
      dialect: 'chat',
      isStream: false,
      prompt: `${Kinds.text} sim:gap=0`
    } as const
    for (let count = 0; count < Collected; count += CollectedAtOnce) {
      const some = await askAtOnce(stand, question, CollectedAtOnce)
      for (const { status, text } of some) refuse(status, text)
    }
    return `${streams} streams ended as incomplete; others: ${[...refused].join(', ')}`
  }
}
