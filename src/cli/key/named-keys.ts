import { inspectConfig } from '../../config/load.ts'
import { usagePath } from '../../control/book/usage-sums.ts'
import { readClosed } from '../../control/usage/usage-report.ts'
import { MAKE_OPERATOR_KEY, SET_UP_AGAIN } from '../../keys/advice.ts'
import { findInForce, keyVersion, type NamedKeyLimits, withNewKey } from '../../keys/key-changes.ts'
import { MAX_KEYS, rotateHashes } from '../../keys/key-file.ts'
import { changeKeys, keysPath, makeKey, makeNamedKey, readKeys } from '../../keys/key-store.ts'
import {
  isMeant,
  NO_LIMIT,
  toCredits,
  toExpiry,
  toGraceMs,
  toKeyName,
  toMaxStreams,
  toModels,
  toRequestsPerMinute,
  toUsed
} from '../../keys/key-text.ts'
import type { NamedKey } from '../../keys/key.ts'
import { GatewayError, operatorError } from '../../shared/errors.ts'
import type { JsonObject } from '../../shared/json.ts'
import { LOCK_PATIENCE_MS } from '../../shared/file-lock.ts'
import { type CommandCall, EXIT_OK, textOption, UsageError } from '../command.ts'
import { noSuchKey } from '../no-such-key.ts'
import { noteOtherState } from '../service/other-state.ts'
import { toUseJson, useOfKeys } from './key-use.ts'
import { keyDetails, keyTable, toKeyJson } from './key-view.ts'
import { stepsFor } from './next-steps.ts'
import { changeAtGateway, toApiLimits } from './running-gateway.ts'

export async function addKey(call: CommandCall, text: string): Promise<number> {
  const name = toKeyName(text)
  const limits = givenLimits(call, Date.now())
  requireFree(await read(call), name)
  const done = await changeAtGateway(call, 'keys', { name, ...toApiLimits(limits) })
  if (done !== null) {
    tellMade(call, done.secret ?? '', await keyOf(call, done.id))
    return EXIT_OK
  }
  const { key: added, text: made } = makeNamedKey(name, limits, Date.now())
  const keys = await change(call, (before) => {
    requireFree(before, name)
    const next = withNewKey(before, added)
    if (next === null) throw operatorError(`There are already ${MAX_KEYS} keys.`)
    return next
  })
  tellMade(call, made, added)
  const { stateDir } = inspectConfig(call.env).config.credentials
  noteOtherState(call, stateDir, `key add ${name}`)
  if (!call.isJson && keys.length === 1 && !hasOperatorKey(call)) {
    call.terminal.note(`From now on every request needs a key, yours too. ${MAKE_OPERATOR_KEY}`)
    call.terminal.note(SET_UP_AGAIN)
  }
  return EXIT_OK
}

export async function setKey(call: CommandCall, name: string): Promise<number> {
  const newName = textOption(call, 'name')
  const limits = givenLimits(call, Date.now())
  const changes = { ...limits, ...(newName !== null && { name: toKeyName(newName) }) }
  if (Object.keys(changes).length === 0)
    throw new UsageError('"set" needs at least one option to change')
  const makeChanged = (found: NamedKey, others: readonly NamedKey[]): NamedKey => {
    if (changes.name !== undefined) requireFree(others, changes.name)
    return { ...found, ...changes }
  }
  const body = {
    ...toApiLimits(limits),
    ...(changes.name !== undefined && { name: changes.name })
  }
  const changed =
    (await changeOneAtGateway(call, name, { verb: '', body, check: makeChanged }))?.key ??
    (await changeOne(call, name, makeChanged))
  return tellChanged(call, changed)
}

export async function rotateKey(call: CommandCall, name: string): Promise<number> {
  const grace = textOption(call, 'grace') ?? '0'
  const graceMs = toGraceMs(grace)
  const until = Date.now() + graceMs
  const done = await changeOneAtGateway(call, name, { verb: '/rotate', body: { grace } })
  if (done === null) {
    const { text, sha256 } = makeKey()
    const changed = await changeOne(call, name, (found) => ({
      ...found,
      hashes: rotateHashes(found.hashes, { sha256, until })
    }))
    tellMade(call, text, changed)
  } else tellMade(call, done.secret ?? '', done.key)
  if (!call.isJson && graceMs > 0) {
    call.terminal.note(`The old key is valid until ${new Date(until).toISOString()}.`)
  }
  return EXIT_OK
}

export async function revokeKey(call: CommandCall, name: string): Promise<number> {
  const done = await changeOneAtGateway(call, name, { verb: '/revoke', body: {} })
  const changed =
    done?.key ?? (await changeOne(call, name, (found) => ({ ...found, revokedAt: Date.now() })))
  if (call.isJson) return tellChanged(call, changed)
  const when =
    done === null
      ? 'A running gateway refuses it within a second.'
      : 'The gateway refuses it from now on.'
  call.terminal.write(
    `${changed.name} can no longer get in: the key is revoked, for good. ${when} Running answers are finished.`
  )
  return EXIT_OK
}

interface GatewayChange {
  /** Behind the id of the key in the path. */
  readonly verb: string
  readonly body: JsonObject
  readonly check?: (found: NamedKey, others: readonly NamedKey[]) => NamedKey
}

/** `null` if no gateway of these settings runs here. */
async function changeOneAtGateway(
  call: CommandCall,
  name: string,
  { verb, body, check }: GatewayChange
): Promise<{ readonly key: NamedKey; readonly secret: string | null } | null> {
  const keys = await read(call)
  const found = findInForce(keys, name)
  if (found === undefined) throw noSuchKey(keys, name)
  check?.(
    found,
    keys.filter((one) => one !== found)
  )
  const versioned = { ...body, version: keyVersion(found) }
  const done = await changeAtGateway(call, `keys/${found.id}${verb}`, versioned)
  return done === null ? null : { key: await keyOf(call, found.id), secret: done.secret }
}

/** The key as the gateway has written it. */
async function keyOf(call: CommandCall, id: string): Promise<NamedKey> {
  const found = (await read(call)).find((one) => one.id === id)
  if (found === undefined)
    throw operatorError('The key was changed, and has been taken out of the file meanwhile.')
  return found
}

/** `key reopen NAME`, or `--all`: states what was used before the account book was damaged. */
export async function reopenKey(call: CommandCall, name: string): Promise<number> {
  const isAll = call.values['all'] === true
  if (isAll === (name !== '')) throw new UsageError('"reopen" needs the name of a key, or --all')
  const used = toUsed(textOption(call, 'used') ?? '0')
  const reopened = { at: Date.now(), used }
  const closed = await closedKeys(call) // before a running gateway hears of it
  const isClosed = ({ id }: NamedKey): boolean => closed.some((one) => one.id === id)
  if (!isAll) {
    const changed = await changeOne(call, name, (key) => ({ ...key, reopened }))
    if (!isClosed(changed)) call.terminal.note(wasOpen([changed]))
    return tellChanged(call, changed)
  }
  const keys = await change(call, (before) =>
    before.map((key) => (isLimited(key) ? { ...key, reopened } : key))
  )
  const limited = keys.filter(isLimited)
  const names = limited.filter(isClosed).map((key) => key.name)
  const open = limited.filter((key) => !isClosed(key))
  if (call.isJson) {
    call.terminal.write(JSON.stringify({ reopened: names, open: open.map((key) => key.name) }))
    return EXIT_OK
  }
  if (limited.length === 0) call.terminal.note('No key has a credit limit.')
  if (names.length > 0) call.terminal.note(`Reopened: ${names.join(', ')}.`)
  if (open.length > 0) call.terminal.note(wasOpen(open))
  return EXIT_OK
}

/** The account book of other gateways of a fleet is not looked at: the statement counts there all the same. */
async function closedKeys(call: CommandCall): Promise<readonly NamedKey[]> {
  const { stateDir } = inspectConfig(call.env).config.credentials
  return readClosed(usagePath(stateDir), (await read(call)).filter(isLimited))
}

function isLimited({ credits, revokedAt }: NamedKey): boolean {
  return credits !== null && revokedAt === null
}

function wasOpen(keys: readonly NamedKey[]): string {
  const names = keys.map(({ name }) => name).join(', ')
  return `Not closed by a damaged usage.db, so nothing changes: ${names}.`
}

export async function listKeys(call: CommandCall): Promise<number> {
  const keys = await read(call)
  const now = Date.now()
  const use = await useOfKeys(call, keys)
  if (call.isJson) {
    const shown = keys.map((one) => ({ ...toKeyJson(one, now), ...toUseJson(use.get(one.id)) }))
    call.terminal.write(JSON.stringify({ keys: shown }))
  } else if (keys.length === 0)
    call.terminal.note('There are no named keys. Create one with: kiro-gateway key add NAME')
  else for (const line of keyTable(keys, use, now)) call.terminal.write(line)
  return EXIT_OK
}

export async function showKey(call: CommandCall, name: string): Promise<number> {
  const keys = await read(call)
  const found = findInForce(keys, name) ?? keys.findLast((one) => isMeant(one, name))
  if (found === undefined) throw noSuchKey(keys, name)
  const now = Date.now()
  const use = (await useOfKeys(call, [found])).get(found.id)
  if (call.isJson)
    call.terminal.write(JSON.stringify({ ...toKeyJson(found, now), ...toUseJson(use) }))
  else for (const line of keyDetails(found, now, use)) call.terminal.write(line)
  return EXIT_OK
}

function givenOverage({ values }: CommandCall): boolean | undefined {
  const [may, mayNot] = [values['overage'] === true, values['no-overage'] === true]
  if (may && mayNot) throw new UsageError('use either --overage or --no-overage')
  return may ? true : mayNot ? false : undefined
}

/** @throws {GatewayError} GW_CONFIG_INVALID */
export function givenLimits(call: CommandCall, now: number): Partial<NamedKeyLimits> {
  const given = <T>(option: string, parse: (text: string) => T): T | null | undefined => {
    const text = textOption(call, option)
    if (text === null) return undefined
    return text.trim() === NO_LIMIT ? null : parse(text)
  }
  const limits = {
    credits: given('credits', toCredits),
    requestsPerMinute: given('requests-per-minute', toRequestsPerMinute),
    maxStreams: given('max-streams', toMaxStreams),
    models: given('models', toModels),
    mayOverage: givenOverage(call),
    expiresAt: given('expires', (text) => toExpiry(text, now))
  }
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
}

async function read(call: CommandCall): Promise<readonly NamedKey[]> {
  const found = await readKeys(pathOf(call))
  for (const warning of found?.warnings ?? []) call.terminal.note(warning)
  return found?.keys ?? []
}

async function change(
  call: CommandCall,
  make: (keys: readonly NamedKey[]) => readonly NamedKey[]
): Promise<readonly NamedKey[]> {
  const timeout = AbortSignal.timeout(LOCK_PATIENCE_MS)
  try {
    return await changeKeys(pathOf(call), make, AbortSignal.any([call.signal, timeout]))
  } catch (cause) {
    if (!timeout.aborted || cause instanceof GatewayError) throw cause
    throw operatorError(`Another process is changing ${pathOf(call)}. Try again.`)
  }
}

async function changeOne(
  call: CommandCall,
  name: string,
  make: (found: NamedKey, others: readonly NamedKey[]) => NamedKey
): Promise<NamedKey> {
  let changed: NamedKey | undefined
  await change(call, (keys) => {
    const found = findInForce(keys, name)
    if (found === undefined) throw noSuchKey(keys, name)
    const next = make(
      found,
      keys.filter((one) => one !== found)
    )
    changed = next
    return keys.map((one) => (one === found ? next : one))
  })
  if (changed === undefined) throw new Error('nothing was changed')
  return changed
}

function pathOf({ env }: CommandCall): string {
  return keysPath(inspectConfig(env).config.credentials.stateDir)
}

function hasOperatorKey({ env }: CommandCall): boolean {
  return inspectConfig(env).config.server.apiKeys.length > 0
}

function requireFree(keys: readonly NamedKey[], name: string): void {
  const taken = findInForce(keys, name)
  if (taken === undefined) return
  throw operatorError(
    `A key ${JSON.stringify(taken.name)} already exists. "key set" changes its limits, "key rotate" replaces it.`
  )
}

function tellMade(call: CommandCall, made: string, key: NamedKey): void {
  const { terminal, isJson } = call
  const now = Date.now()
  if (isJson) return terminal.write(JSON.stringify({ key: made, ...toKeyJson(key, now) }))
  terminal.write(made)
  terminal.note(`The key of ${key.name}. It is shown only once; only its hash is stored.`)
  for (const line of stepsFor(call, { name: key.name, secret: made })) terminal.note(line)
}

function tellChanged({ terminal, isJson }: CommandCall, key: NamedKey): number {
  const now = Date.now()
  if (isJson) terminal.write(JSON.stringify(toKeyJson(key, now)))
  else for (const line of keyDetails(key, now)) terminal.write(line)
  return EXIT_OK
}
