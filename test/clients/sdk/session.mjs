import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a program of this folder is asked to do: `node openai-chat.mjs MODE PROMPT`. */
const [mode = '', prompt = ''] = process.argv.slice(2)
export { mode, prompt }

/** Where it finds the gateway. */
export const url = process.env.GATEWAY_URL
export const key = process.env.GATEWAY_KEY
export const model = process.env.GATEWAY_MODEL

/** A model's call and its result are shown by the SDKs in many ways, but the functions behind them are the same. */
export const functions = [
  {
    name: 'write_file',
    description: 'Writes a text file.',
    parameters: objectOf('path', 'text'),
    run: ({ path, text }) => {
      writeFileSync(path, text)
      return 'written'
    }
  },
  {
    name: 'read_file',
    description: 'Reads a text file.',
    parameters: objectOf('path'),
    run: ({ path }) => readFileSync(path, 'utf8')
  }
]

/** What structured answers have to look like. */
export const placeSchema = objectOf('city', 'country')

export function callFunction(name, args) {
  const wanted = functions.find((one) => one.name === name)
  if (wanted === undefined) throw new Error(`the model called ${name}`)
  return wanted.run(args)
}

/** The conversation so far when it is to be resumed, as the SDK itself writes it. */
export function earlierMessages() {
  return mode === 'resume' ? JSON.parse(readFileSync(sessionFile, 'utf8')) : []
}

/** Keeps the conversation for the next start, and shows the answer. */
export function endSession(messages, answer) {
  writeFileSync(sessionFile, JSON.stringify(messages))
  process.stdout.write(`${answer}\n`)
}

/** The PDF of the session, which the prompt is about. */
export function readPdf() {
  return { filename: 'report.pdf', bytes: readFileSync('report.pdf') }
}

const sessionFile = join(process.env.HOME, 'session.json')

function objectOf(...names) {
  const properties = Object.fromEntries(names.map((name) => [name, { type: 'string' }]))
  return { type: 'object', properties, required: names, additionalProperties: false }
}
