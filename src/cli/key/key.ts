import { type Command, type CommandCall, UsageError } from '../command.ts'
import { approveDevice, denyDevice, listWaiting } from './devices.ts'
import { makeOperatorKey } from './env-key.ts'
import { addKey, listKeys, reopenKey, revokeKey, rotateKey, setKey, showKey } from './named-keys.ts'

const LIMITS = ['credits', 'requests-per-minute', 'max-streams', 'models', 'expires'] as const

/** All but `new`, `list` and `waiting` take one name, or a code. */
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
  new: { run: makeOperatorKey, takes: ['write'], isNameless: true },
  waiting: { run: listWaiting, takes: [], isNameless: true },
  approve: {
    run: approveDevice,
    takes: ['key', 'new', ...LIMITS, 'overage']
  },
  deny: { run: denyDevice, takes: [] }
}

interface Verb {
  readonly run: (call: CommandCall, name: string) => Promise<number>
  readonly takes: readonly string[]
  readonly isNameless?: boolean | 'perhaps'
}

export const key: Command = {
  name: 'key',
  summary: 'Creates, changes, lists and revokes keys with limits.',
  usage: `kiro-gateway key add NAME [LIMITS]
kiro-gateway key list
kiro-gateway key show NAME
kiro-gateway key set NAME [--name NEW] [LIMITS]
kiro-gateway key rotate NAME [--grace 24h]
kiro-gateway key revoke NAME
kiro-gateway key reopen NAME|--all [--used CREDITS]
kiro-gateway key new [--write]
kiro-gateway key waiting
kiro-gateway key approve CODE [--key NAME | --new NAME [LIMITS]]
kiro-gateway key deny CODE`,
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
    key: { type: 'string' },
    new: { type: 'string' },
    write: { type: 'boolean' }
  },
  help: `"add" creates a key for a person or program and prints it once: only its hash is stored, in STATE_DIR. A running
gateway picks it up within a second. If it runs on this machine with the settings of this folder and a PROXY_API_KEY, it
makes the change itself: all its workers use it when the command ends, and its audit log has it. Once there is such a key, every request needs one, or an operator key
(PROXY_API_KEY), which has no limits.

Limits ("set" changes only those given; "none" removes one):

  --credits 200/month       Credits per day, week or month (UTC), or in total: /day, /week, /month, /total.
  --requests-per-minute 30
  --max-streams 4           Concurrent answers; further requests wait.
  --models 'claude-sonnet-*,auto'
                            Allowed models; * stands for any text.
  --expires 2027-01-31      Expires after that day; or a time (2027-01-31T18:00Z), or a duration (90d).
  --overage                 Requests of this key continue when the plan is used up and Kiro charges extra. By default
                            ALLOW_OVERAGE decides.
  --no-overage              Removes --overage from a key ("set").
  --name NEW                Renames the key ("set").

"rotate" creates a new key with the same name, limits and usage. "revoke" disables a key permanently.
  --grace 24h               How long the old key stays valid; by default not at all.

"reopen" enables keys with a credit limit again after usage.db was damaged, when their usage in the current
period is unknown.
  --used CREDITS            Credits they have used; by default 0.
  --all                     All keys with a credit limit.

"new" prints an operator key, for PROXY_API_KEY:
  --write            Adds it to .env, or to the file named by ENV_FILE, and makes the file private. Nothing else
                     in it changes.

"waiting" lists devices that wait for an approval to sign in, "approve" gives one the access of a key, and "deny" refuses it.
They need the running gateway of this folder. Compare the code with the one on the device before you approve it.
  --key NAME         Key whose limits hold for the device.
  --new NAME         Creates a key for it, with LIMITS. Its secret is never shown.`,
  async run(call) {
    const [word = '', name = '', ...more] = call.positionals
    const verb = Object.hasOwn(VERBS, word) ? VERBS[word] : undefined
    if (verb === undefined) throw new UsageError(`expected one of ${Object.keys(VERBS).join(', ')}`)
    const wantsName = verb.isNameless === undefined
    if (wantsName && name === '')
      throw new UsageError(
        `"${word}" needs ${word === 'approve' || word === 'deny' ? 'a code' : 'the name of a key'}`
      )
    if (more.length > 0 || (verb.isNameless === true && name !== '')) {
      throw new UsageError(`"${word}" takes ${wantsName ? 'one name or code' : 'no name'}`)
    }
    for (const option of Object.keys(key.options)) {
      if (call.values[option] !== undefined && !verb.takes.includes(option)) {
        throw new UsageError(`"${word}" does not take --${option}`)
      }
    }
    return verb.run(call, name)
  }
}
