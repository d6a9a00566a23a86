import { type Command, type CommandCall, UsageError } from '../command.ts'
import { makeOperatorKey } from './env-key.ts'
import { addKey, listKeys, reopenKey, revokeKey, rotateKey, setKey, showKey } from './named-keys.ts'

const LIMITS = ['credits', 'requests-per-minute', 'max-streams', 'models', 'expires'] as const

/** What each verb does, and which options it takes; all but `new` and `list` take one name. */
const VERBS: Readonly<Record<string, Verb>> = {
  add: {
    run: addKey,
    takes: [...LIMITS, 'overage']
  },
  list: { run: listKeys, takes: [], isNameless: true },
  show: { run: showKey, takes: [] },
  set: {
    run: setKey,
    takes: [...LIMITS, 'overage', 'no-overage', 'name']
  },
  rotate: { run: rotateKey, takes: ['grace'] },
  revoke: { run: revokeKey, takes: [] },
  reopen: { run: reopenKey, takes: ['used', 'all'], isNameless: 'perhaps' },
  new: { run: makeOperatorKey, takes: ['write'], isNameless: true }
}

interface Verb {
  readonly run: (call: CommandCall, name: string) => Promise<number>
  readonly takes: readonly string[]
  /** It takes no name, or may do without one. */
  readonly isNameless?: boolean | 'perhaps'
}

/** Keys for the people and programs that use a gateway. */
export const key: Command = {
  name: 'key',
  summary: 'Makes keys for people, with limits, and changes, lists and revokes them.',
  usage: `kiro-gateway key add NAME [LIMITS]
kiro-gateway key list
kiro-gateway key show NAME
kiro-gateway key set NAME [--name NEW] [LIMITS]
kiro-gateway key rotate NAME [--grace 24h]
kiro-gateway key revoke NAME
kiro-gateway key reopen NAME|--all [--used CREDITS]
kiro-gateway key new [--write]`,
  options: {
    credits: { type: 'string' },
    'requests-per-minute': { type: 'string' },
    'max-streams': { type: 'string' },
    models: { type: 'string' },
    expires: { type: 'string' },
    overage: { type: 'boolean' },
    'no-overage': { type: 'boolean' },
    name: { type: 'string' },
    grace: { type: 'string' },
    used: { type: 'string' },
    all: { type: 'boolean' },
    write: { type: 'boolean' }
  },
  help: `"add" makes a key for a person or a program and prints it, once: only its hash is kept, in STATE_DIR. A gateway that
runs notices within a second. As soon as there is such a key, every request needs one, or one of PROXY_API_KEY, which
are the operator's and have no limits.

Limits, of which "set" changes those that are given; "none" takes one away:

  --credits 200/month       Credits in a day, a week, a month (UTC), or in all: /day, /week, /month, /total.
  --requests-per-minute 30
  --max-streams 4           Answers at the same time; further requests wait.
  --models 'claude-sonnet-*,auto'
                            Nothing else may be asked; * stands for any text.
  --expires 2027-01-31      After that day; or a time (2027-01-31T18:00Z), or a while (90d).
  --overage                 Requests of this key go on when the plan is used up and Kiro charges extra. Otherwise
                            ALLOW_OVERAGE decides.
  --no-overage              Takes --overage away from a key ("set").
  --name NEW                Another name, for "set" alone.

"rotate" makes another key for the same person, with the same limits and the same use. "revoke" ends a key for good.
  --grace 24h               So long the old key is good besides; by default not at all.

"reopen" lets keys with a limit of credits in again after the account book (usage.db) was damaged: nobody knows then what they
have used in their period.
  --used CREDITS            What they have used, by default nothing.
  --all                     All keys with a limit of credits.

"new" prints a key of the operator's, for PROXY_API_KEY:
  --write            Adds it to .env, or to the file that ENV_FILE names, and closes that to other users; nothing else
                     in it changes.`,
  async run(call) {
    const [word = '', name = '', ...more] = call.positionals
    const verb = Object.hasOwn(VERBS, word) ? VERBS[word] : undefined
    if (verb === undefined) throw new UsageError(`it can ${Object.keys(VERBS).join(', ')}`)
    const wantsName = verb.isNameless === undefined
    if (wantsName && name === '') throw new UsageError(`"${word}" takes the name of a key`)
    if (more.length > 0 || (verb.isNameless === true && name !== '')) {
      throw new UsageError(`"${word}" takes ${wantsName ? 'one name' : 'no name'}`)
    }
    for (const option of Object.keys(key.options)) {
      if (call.values[option] !== undefined && !verb.takes.includes(option)) {
        throw new UsageError(`"${word}" does not take --${option}`)
      }
    }
    return verb.run(call, name)
  }
}
