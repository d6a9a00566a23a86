import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command, Place, ShellTools } from './client.ts'
import { hasText, hiddenString, secretWord } from './hidden-words.ts'
import type { Session, Trial } from './trial.ts'
import { failureOf, missing } from './usual-trials.ts'

/** What structured answers have to look like, and one that does. */
const PLACE_SCHEMA = {
  type: 'object',
  properties: { city: { type: 'string' }, country: { type: 'string' } },
  required: ['city', 'country'],
  additionalProperties: false
}
const PLACE = { city: 'Tromsø', country: 'Norway' }
/** A white PNG of eight by eight. */
const IMAGE =
  'iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mP4jwMwDC0JALoev0GJ6La7AAAAAElFTkSuQmCC'

/** A client that takes a JSON schema shows an answer that follows it. */
export function answersBySchema(
  ask: (prompt: string, schemaFile: string, place: Place) => Command
): Trial {
  const attempt = async (session: Session): Promise<string | null> => {
    const { place } = session
    const file = join(place.project, 'schema.json')
    writeFileSync(file, JSON.stringify(PLACE_SCHEMA))
    const text = JSON.stringify(PLACE)
    const outcome = await session.run(ask(`Which? sim:say=${hiddenString(text)}`, file, place))
    return failureOf(outcome) ?? missing(outcome, text)
  }
  return { name: 'JSON schema', attempt }
}

/** A client whose structured answer is a call of a tool. */
export function answersByTool(
  tool: string,
  ask: (prompt: string, schema: string, place: Place) => Command
): Trial {
  const attempt = async (session: Session): Promise<string | null> => {
    const prompt = `use tool ${tool} with ${JSON.stringify(PLACE)}`
    const schema = JSON.stringify(PLACE_SCHEMA)
    const outcome = await session.run(ask(prompt, schema, session.place))
    const problem = failureOf(outcome) ?? missing(outcome, '"structured_output"')
    return problem ?? missing(outcome, JSON.stringify(PLACE))
  }
  return { name: 'JSON schema', attempt }
}

/** The client's own tool shows the model an image, and the conversation goes on. */
export function looksAtImage(call: (path: string) => string): Trial {
  const attempt = async (session: Session): Promise<string | null> => {
    const { way, place } = session
    const path = join(place.project, 'image.png')
    writeFileSync(path, Buffer.from(IMAGE, 'base64'))
    const outcome = await session.run(way.ask(`use tool ${call(path)}`, place))
    return failureOf(outcome) ?? missing(outcome, 'The simulator received 1 tool result')
  }
  return { name: 'image', attempt }
}

/** A call of a tool of the client leaves these files in the project. */
export function toolCallTrial(
  name: string,
  call: string,
  files: Readonly<Record<string, string>>
): Trial {
  const attempt = async (session: Session): Promise<string | null> => {
    const { way, place } = session
    const outcome = await session.run(way.ask(`use tool ${call}`, place))
    const failure = failureOf(outcome)
    if (failure !== null) return failure
    const wrong = Object.entries(files).find(
      ([path, text]) => !hasText(readFileSync(join(place.project, path), 'utf8'), text)
    )
    return wrong === undefined ? null : `${wrong[0]} is not what was asked for`
  }
  return { name, attempt }
}

/** A session whose user interrupts a running tool can be resumed. */
export function survivesInterruption({ run }: ShellTools): Trial {
  const attempt = async (session: Session): Promise<string | null> => {
    const { way, place } = session
    const interruptWhen = join(place.project, 'started.txt')
    const prompt = `use tools ${run('touch started.txt && sleep 60')}`
    const first = await session.run({ ...way.ask(prompt, place), interruptWhen })
    if (first.exitCode === null || !existsSync(interruptWhen)) return 'it could not be interrupted'
    const word = secretWord()
    const second = way.resume?.(`Go on. sim:say=${hiddenString(word)}`, place)
    if (second === undefined) return 'it can not be resumed'
    const outcome = await session.run(second)
    return failureOf(outcome) ?? missing(outcome, word)
  }
  return { name: 'interruption', attempt }
}

/** A conversation that is too long is compacted by the client, which `sign` shows in what it says. */
export function compacts(
  sign: string,
  resume: (prompt: string, place: Place) => Command,
  prompt: string
): Trial {
  const attempt = async (session: Session): Promise<string | null> => {
    const { way, place } = session
    const { resume: goOn = way.ask } = way
    for (const command of [way.ask('First.', place), goOn('Second.', place)]) {
      const failure = failureOf(await session.run(command))
      if (failure !== null) return failure
    }
    const { stdout, stderr } = await session.run(resume(prompt, place))
    return hasText(stdout + stderr, sign) ? null : 'it did not compact the conversation'
  }
  return { name: 'compaction', attempt }
}

/** Lines of a file of some 7,000 tokens, of which clients tell the model a part. */
const FILE_LINES = 600
/** Reads of the file that do not fit in the window together. */
const READS = 10

/** A session that reads more than fits in its window is compacted by the client, and goes on. */
export function outgrowsWindow(
  { read }: ShellTools,
  { sign, limit }: { readonly sign: string; readonly limit: (command: Command) => Command }
): Trial {
  const attempt = async (session: Session): Promise<string | null> => {
    const { way, place } = session
    const { resume = way.ask } = way
    const lines = Array.from({ length: FILE_LINES }, (_, at) => `${at}: ${'some words '.repeat(4)}`)
    writeFileSync(join(place.project, 'long.txt'), lines.join('\n'))
    let compactions = 0
    for (let at = 0; at < READS; at++) {
      const ask = at === 0 ? way.ask : resume
      const outcome = await session.run(limit(ask(`use tool ${read('long.txt')}`, place)))
      const failure = failureOf(outcome) ?? missing(outcome, 'The simulator received 1 tool result')
      if (failure !== null) return `read ${at + 1}: ${failure}`
      if (hasText(outcome.stdout + outcome.stderr, sign)) compactions++
    }
    if (compactions === 0) return 'it did not compact the conversation'
    const word = secretWord()
    const last = await session.run(limit(resume(`Go on. sim:say=${hiddenString(word)}`, place)))
    session.note(`${compactions} compactions`)
    return failureOf(last) ?? missing(last, word)
  }
  return { name: 'window outgrown', attempt }
}
