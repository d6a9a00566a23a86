import { access } from 'node:fs/promises'
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { inspectConfig, loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/settings.ts'
import { findModel } from '../../kiro/models/models.ts'
import { operatorError, GatewayError } from '../../shared/errors.ts'
import { type CommandCall, EXIT_FAILED, EXIT_OK, textOption, UsageError } from '../command.ts'
import { freshSignIn } from '../gateway-sign-in/fresh-token.ts'
import { gatewaySignInPath, readGatewaySignIn } from '../gateway-sign-in/sign-in-file.ts'
import { guess } from '../../shared/guess.ts'
import { networkTo } from '../network.ts'
import { countText } from '../terminal.ts'
import { type ClientFile, readClientFile } from './client-files.ts'
import { type ClientPlan, Clients, type ClientSetup, type CurrentFile } from './clients.ts'
import { readValues } from './entries.ts'
import { applyChange, type FileChange, type FileInHand } from './file-change.ts'
import { textFormatOf, planSetup, planUndo } from './file-plan.ts'
import {
  askForModels,
  ensureModel,
  FallbackModels,
  type GatewayFacts,
  gatewayUrl,
  type KeyCommand,
  NO_KEY,
  untrustedNote
} from './gateway.ts'
import { SetupMemory } from './setup-memory.ts'
import {
  askForSignIn,
  canSignIn,
  installedClaude,
  MANAGED_PATHS,
  OLDEST_CLAUDE,
  signInSettings,
  whyNoSignIn
} from './sign-in.ts'
import { clientFile, shownPath } from './text/text-format.ts'
import { textDiff } from './text-diff.ts'

export async function runSetup(call: CommandCall): Promise<number> {
  const client = clientOf(call.positionals)
  if (call.values['server'] === true) return printForMachines(call, client)
  const isUndo = call.values['undo'] === true
  const config = isUndo ? inspectConfig(call.env).config : settingsOf(call) // what is wrong in others hinders no undo
  const memory = new SetupMemory(resolve(config.credentials.stateDir))
  const plan = isUndo ? planToUndo : planToSetUp
  const todo = await plan(call, client, { config, memory })
  return carryOut(call, { ...todo, client, memory, isUndo })
}

/** @throws {GatewayError} GW_CONFIG_INVALID if the gateway would not start */
function settingsOf({ env }: CommandCall): Config {
  const loaded = loadConfig(env, [])
  if (loaded.name !== 'config') throw new Error('there are no settings')
  return loaded.config
}

function clientOf(positionals: readonly string[]) {
  const [word = '', ...more] = positionals
  const found = Object.hasOwn(Clients, word) ? Clients[word] : undefined
  const known = Object.keys(Clients)
  if (word !== '' && found === undefined) {
    const meant = guess(word, known)
    const hint = meant === null ? '' : ` Was "${meant}" meant?`
    throw new UsageError(
      `the client ${JSON.stringify(word.slice(0, 64))} is not known.${hint} Known are ${known.join(', ')}.`
    )
  }
  if (found === undefined || more.length > 0)
    throw new UsageError(`expected one client: ${known.join(', ')}`)
  return { ...found, word }
}

type NamedClient = ReturnType<typeof clientOf>

interface Todo {
  readonly changes: readonly FileChange[]
  readonly notes: readonly string[]
  /** Sentence about what the change does. */
  readonly intent: string
  readonly done: string
  readonly alreadyDone: string
  readonly secrets: readonly string[]
}

interface Means {
  readonly config: Config
  readonly memory: SetupMemory
}

async function planToSetUp(call: CommandCall, client: NamedClient, means: Means): Promise<Todo> {
  const learnt = await learnWay(call, client, means.config)
  const paths = await Promise.all(filesOf(client, call).map(choose))
  const files = await Promise.all(paths.map((path) => takeInHand(path, client, means.memory)))
  const current = files.map(({ file, format }) => ({
    path: file.path,
    values: inFile(file, () => readValues(format, file.text ?? ''))
  }))
  const plan = learnt.plan(current)
  const changes = files.map((inHand, index): FileChange => {
    const { entries = [], holdsKey = false } = plan.files[index] ?? {}
    return { ...inFile(inHand.file, () => planSetup(inHand, entries)), inHand, holdsKey }
  })
  // Of what stays: an earlier setup's entries may be in the way now, and are taken back.
  const { notes } = learnt.plan(
    changes.map(({ inHand: { file, format }, after }) => ({
      path: file.path,
      values: readValues(format, after ?? '')
    }))
  )
  return {
    changes,
    notes: [...learnt.notes, ...notes],
    intent: `${client.title} will use ${learnt.url} (${learnt.means}).`,
    done: `${client.title} now uses ${learnt.url}. Start it with: ${plan.start}\nTo undo this: kiro-gateway setup ${client.word} --undo`,
    alreadyDone: `${client.title} is already set up like this.`,
    secrets: [...learnt.secrets, ...means.config.server.apiKeys].filter((key) => key !== NO_KEY)
  }
}

async function planToUndo(
  call: CommandCall,
  client: NamedClient,
  { config, memory }: Means
): Promise<Todo> {
  for (const name of ['url', 'key', 'model', 'sign-in']) {
    if (call.values[name] !== undefined) throw new UsageError(`--undo does not take --${name}`)
  }
  // Any of a client's possible files: which of them exist may have changed.
  const paths = [...new Set(filesOf(client, call).flat())]
  const known = await Promise.all(
    paths.map(async (path) => ((await memory.recall(path)) === null ? [] : path))
  )
  const files = await Promise.all(known.flat().map((path) => takeInHand(path, client, memory)))
  const notes: string[] = []
  const changes = files.map((inHand): FileChange => {
    const { file } = inHand
    const plan = inFile(file, () => planUndo(inHand))
    if (plan.kept.length > 0) {
      const places = plan.kept.map(shownPath).join(', ')
      notes.push(`Changed since, and therefore left unchanged in ${file.path}: ${places}`)
    }
    return { ...plan, inHand, holdsKey: false }
  })
  return {
    changes,
    notes,
    intent: `${client.title} will be as it was before setup.`,
    done: `${client.title} is back as it was.`,
    alreadyDone: `There is nothing to undo: ${memory.folder} has no record of a change for ${client.title}.`,
    secrets: config.server.apiKeys
  }
}

/** A way to the gateway: with a key, or by the sign-in of the client. */
interface Way {
  readonly url: string
  /** Says in few words how. */
  readonly means: string
  readonly secrets: readonly string[]
  readonly notes: readonly string[]
  readonly plan: (current: readonly CurrentFile[]) => ClientPlan
}

async function learnWay(call: CommandCall, client: NamedClient, config: Config): Promise<Way> {
  const { planSignIn } = client
  const isAsked = call.values['sign-in'] === true
  if (isAsked && planSignIn === undefined)
    throw new UsageError('--sign-in is for Claude Code alone: other clients need a key')
  if (isAsked && textOption(call, 'key') !== null)
    throw new UsageError('--sign-in needs no --key: leave one of them out')
  const signIn = isAsked ? null : await signInFor(call, config)
  const url = signIn?.url ?? gatewayUrl(textOption(call, 'url'), config)
  const isWanted = isAsked || (planSignIn !== undefined && (await offerSignIn(call, url)))
  if (planSignIn === undefined || !isWanted) {
    if (signIn !== null && client.runsKeyCommand !== true)
      throw operatorError(
        `${client.title} runs no command to get its key, and a token of the sign-in at ${url} lasts an hour. Ask the operator of that gateway for a key, and give it with --key.`
      )
    const { gateway, notes } = await learnGateway(call, config, signIn)
    const plan: Way['plan'] = (current) => client.plan(gateway, current)
    const means = `${gateway.models.length} models`
    return { url, means, secrets: [gateway.key], notes, plan }
  }
  const notes = await checkSignIn(call, url)
  const model = textOption(call, 'model')
  const means = 'by signing in there'
  const plan: Way['plan'] = (current) => planSignIn({ url, model }, current)
  return { url, means, secrets: [], notes, plan }
}

/** Asks a person; programs and those who give a key are told of it by the help. */
async function offerSignIn(call: CommandCall, url: string): Promise<boolean> {
  const { terminal, values, env, signal } = call
  const isDecided = ['key', 'yes', 'print'].some((name) => values[name] !== undefined)
  if (!terminal.isInteractive || isDecided || whyNoSignIn(url) !== null) return false
  const version = await installedClaude(env)
  if (version === null || !canSignIn(version)) return false
  if ((await askForSignIn(url, signal)) !== 'offered') return false
  return terminal.confirm(
    `Claude Code ${version} can sign in to the gateway by itself, without a key in its settings. Set it up like this?`
  )
}

/** @throws {GatewayError} GW_CONFIG_INVALID if Claude Code could not sign in there */
async function checkSignIn({ env, signal }: CommandCall, url: string): Promise<readonly string[]> {
  const why = whyNoSignIn(url)
  if (why !== null) throw operatorError(why)
  const [offer, version] = await Promise.all([askForSignIn(url, signal), installedClaude(env)])
  if (offer === 'off') {
    const message = `The gateway at ${url} lets no device sign in. Set DEVICE_SIGN_IN=approve there, or give the address of another with --url.`
    throw operatorError(message)
  }
  const isOld = version !== null && !canSignIn(version)
  return [
    ...(offer === 'silent'
      ? [`No gateway answers at ${url} yet. Start it with: kiro-gateway`]
      : []),
    ...(offer === 'untrusted' ? [untrustedNote(url)] : []),
    ...(isOld
      ? [
          `Claude Code ${version} is older than ${OLDEST_CLAUDE}, and may ignore this. Update it: claude update`
        ]
      : [])
  ]
}

async function printForMachines(call: CommandCall, client: NamedClient): Promise<number> {
  const { terminal, env, values } = call
  if (client.planSignIn === undefined)
    throw new UsageError('--server is for Claude Code alone: other clients have no such file')
  for (const name of ['key', 'model', 'sign-in', 'undo', 'print', 'yes']) {
    if (values[name] !== undefined) throw new UsageError(`--server does not take --${name}`)
  }
  const url = gatewayUrl(textOption(call, 'url'), inspectConfig(env).config)
  const why = whyNoSignIn(url)
  if (why !== null) throw operatorError(why)
  const settings = signInSettings(url)
  if (call.isJson) terminal.write(JSON.stringify({ paths: MANAGED_PATHS, settings }))
  else {
    for (const [system, path] of Object.entries(MANAGED_PATHS)) terminal.note(`${system}: ${path}`)
    terminal.note('Put this file there on each machine, writable by administrators alone:')
    terminal.write(JSON.stringify(settings, null, 2))
  }
  return EXIT_OK
}

async function learnGateway(call: CommandCall, config: Config, signIn: SignInFacts | null) {
  const { signal, terminal } = call
  const url = signIn?.url ?? gatewayUrl(textOption(call, 'url'), config)
  const given = textOption(call, 'key')
  const key =
    signIn?.key ??
    (given === '-' ? await terminal.ask('Key:') : given) ??
    config.server.apiKeys[0] ??
    NO_KEY
  if (!/^[\x21-\x7e]+$/.test(key))
    throw new UsageError('--key must be printable ASCII without spaces')
  const notes: string[] = []
  const list = await askForModels({ url, key }, signal)
  if (list.name === 'refused')
    throw new GatewayError('GW_KEY_INVALID', undefined, { message: refusedKey(url, key) })
  if (list.name === 'stranger') {
    const message = `Another program answers at ${url}. Give the address of the gateway with --url.`
    throw operatorError(message)
  }
  if (list.name === 'silent') {
    notes.push(
      `No gateway answers at ${url} yet, so the usual models are used. Start it with: kiro-gateway`
    )
  }
  if (list.name === 'untrusted') notes.push(untrustedNote(url))
  if (key === NO_KEY) {
    notes.push(
      `PROXY_API_KEY is not set, so the gateway accepts any key, and "${NO_KEY}" is used. Once you set one ("kiro-gateway key new" creates it), run this again.`
    )
  }
  const models = list.name === 'listed' ? list.models : FallbackModels
  const asked = textOption(call, 'model')
  const offered = asked === null ? undefined : findModel(models, asked)
  if (asked !== null && offered === undefined && list.name === 'listed') {
    await ensureModel({ url, key }, asked, signal)
  }
  const gateway: GatewayFacts = {
    url,
    key,
    ...(signIn !== null && { keyCommand: signIn.keyCommand }),
    models,
    wishedModel: offered?.id ?? asked
  }
  return { gateway, notes }
}

interface SignInFacts extends Pick<GatewayFacts, 'url' | 'key'> {
  readonly keyCommand: KeyCommand
}

/** The sign-in of `kiro-gateway login --gateway`; `null` if there is none, or a key or another address is meant. */
async function signInFor(call: CommandCall, config: Config): Promise<SignInFacts | null> {
  if (textOption(call, 'key') !== null) return null
  const address = textOption(call, 'url')
  if (address === null && config.server.apiKeys.length > 0) return null
  const path = gatewaySignInPath(config.credentials.stateDir)
  const known = await readGatewaySignIn(path)
  if (known === null) return null
  if (address !== null && gatewayUrl(address, config) !== known.gateway) return null
  const openWay = async (to: string) => networkTo(to, config)
  const { gateway: url, accessToken: key } = await freshSignIn(path, openWay, call.signal)
  return { url, key, keyCommand: tokenCommand(path) }
}

/** Command that prints a token, for clients. A package that npx has fetched for this run may be gone later. */
function tokenCommand(path: string): KeyCommand {
  const [, script = ''] = process.argv
  const what = ['token', '--file', path]
  if (/[\\/]_npx[\\/]/.test(script)) return ['npx', '--yes', 'kiro-gateway', ...what]
  return [process.execPath, script, ...what]
}

function refusedKey(url: string, key: string): string {
  return key === NO_KEY
    ? `The gateway at ${url} needs a key. Set PROXY_API_KEY to its value, or give a key with --key.`
    : `The gateway at ${url} rejects this key. Give another with --key.`
}

function filesOf(client: ClientSetup, { env }: CommandCall) {
  return client.files({ folder: homedir(), env })
}

async function choose(paths: readonly string[]): Promise<string> {
  for (const path of paths) {
    const exists = await access(path).then(
      () => true,
      () => false
    )
    if (exists) return path
  }
  return paths.at(-1) ?? ''
}

async function takeInHand(
  path: string,
  { readsJson5 }: Pick<ClientSetup, 'readsJson5'>,
  memory: SetupMemory
): Promise<FileInHand> {
  const file = await readClientFile(path)
  const format = textFormatOf(path, readsJson5)
  return { file, format, current: file.text, record: await memory.recall(path) }
}

function inFile<T>({ path }: ClientFile, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof GatewayError) throw clientFile(`${path}: ${cause.message}`, cause)
    // Parsers recurse for nested values.
    if (cause instanceof RangeError) throw clientFile(`${path} is nested too deeply.`, cause)
    throw cause
  }
}

interface Order extends Todo {
  readonly client: NamedClient
  readonly memory: SetupMemory
  readonly isUndo: boolean
}

interface ShownChange {
  readonly path: string
  readonly change: 'create' | 'update' | 'remove'
  readonly diff: readonly string[]
}

async function carryOut(call: CommandCall, order: Order): Promise<number> {
  const { terminal, values } = call
  const { changes, client, isUndo, memory, notes } = order
  const shown = changes.flatMap((change) => showChange(change, order.secrets) ?? [])
  const [isOnlyShown, isAgreed] = [values['print'] === true, values['yes'] === true]
  const report = (applied: boolean): void => {
    const action = isUndo ? 'undo' : 'setup'
    const outcome = { client: client.word, action, applied, files: shown, notes }
    if (call.isJson) terminal.write(JSON.stringify(outcome))
  }
  preview(call, order, shown)
  if (isOnlyShown || (shown.length > 0 && !isAgreed && !(await terminal.confirm('Write this?')))) {
    if (!isOnlyShown) terminal.note('Nothing was changed.')
    report(false)
    return isOnlyShown ? EXIT_OK : EXIT_FAILED
  }
  for (const change of changes) {
    call.signal.throwIfAborted()
    const remark = await applyChange(change, { memory, isUndo })
    if (remark !== null) terminal.note(remark)
  }
  if (shown.length > 0) say(call, order.done)
  report(shown.length > 0)
  return EXIT_OK
}

function showChange(
  { inHand: { file }, after }: FileChange,
  secrets: readonly string[]
): ShownChange | null {
  if (after === file.text) return null
  const change = after === null ? 'remove' : file.text === null ? 'create' : 'update'
  return { path: file.path, change, diff: textDiff(file.text ?? '', after ?? '', secrets) }
}

function preview(call: CommandCall, order: Order, shown: readonly ShownChange[]): void {
  const isPrinted = call.values['print'] === true
  const isAsked = !isPrinted && call.values['yes'] !== true
  if (isPrinted && !call.isJson) {
    for (const { path, change, diff } of shown)
      say(call, [`${change} ${path}`, ...diff, ''].join('\n'))
  } else if (shown.length > 0 && (!call.isJson || isAsked)) {
    say(call, order.intent)
    for (const one of shown) say(call, `  ${summaryOf(one)}`)
    if (isAsked) say(call, 'Each line that changes is shown with --print.')
  }
  for (const note of order.notes) call.terminal.note(note)
  if (shown.length === 0) say(call, order.alreadyDone)
}

/** Says which file changes and by how much. */
function summaryOf({ path, change, diff }: ShownChange): string {
  const [added, removed] = ['+', '-'].map((sign) => diff.filter((line) => line.startsWith(sign)))
  const counts = [
    ...(added?.length ? [`${countText(added.length, 'line')} added`] : []),
    ...(removed?.length ? [`${countText(removed.length, 'line')} removed`] : [])
  ]
  return `${change} ${path}: ${counts.join(', ')}`
}

/** With JSON output, to standard error. */
function say({ isJson, terminal }: CommandCall, text: string): void {
  if (isJson) terminal.note(text)
  else terminal.write(text)
}
