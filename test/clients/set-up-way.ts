import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command, Place, Way } from './client.ts'
import type { Session, Trial } from './trial.ts'
import { failureOf } from './usual-trials.ts'

const ENTRY = join(import.meta.dirname, '../../src/start.js')

/** How a client is asked that finds everything in its own configuration. */
export type PlainWay = Pick<Way, 'api' | 'ask' | 'resume' | 'think' | 'tools'>

/** A client as `kiro-gateway setup` sets it up: `word` names it there, `path` is the file in its home. */
export function setUpWay(word: string, path: string, way: PlainWay): Way {
  return {
    ...way,
    note: 'kiro-gateway setup',
    setUp: (place) => {
      const options = ['--yes', '--url', place.url, '--key', '-', '--model', place.model]
      return [setup([word, ...options], place)]
    },
    more: [isUndone(word, path)]
  }
}

/** After undo nothing of the gateway is left in the file, whatever the client has made of it meanwhile. */
function isUndone(word: string, path: string): Trial {
  const attempt = async (session: Session): Promise<string | null> => {
    const { way, place } = session
    const first = await session.run(way.ask('Say something.', place))
    const undone = await session.run(setup([word, '--undo', '--yes'], place))
    const failure = failureOf(first) ?? failureOf(undone)
    if (failure !== null) return failure
    const file = join(place.home, path)
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    return text.includes(place.url) || text.includes(place.key) ? `${path} has ${text}` : null
  }
  return { name: 'undo', attempt }
}

function setup(argv: readonly string[], place: Place): Command {
  return {
    argv: [process.execPath, ENTRY, 'setup', ...argv],
    env: { STATE_DIR: join(place.home, 'gateway-state') },
    stdin: `${place.key}\n`
  }
}
