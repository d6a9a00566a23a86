import type { Config } from '../../config/settings.ts'
import { isUnnamedKey, namedSums, type KeyUsage } from '../../ipc/usage-row.ts'
import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import { findInForce, type NamedKeyLimits, keyVersion, withNewKey } from '../../keys/key-changes.ts'
import { MAX_KEYS, rotateHashes } from '../../keys/key-file.ts'
import { MAKE_OPERATOR_KEY, SET_UP_AGAIN } from '../../keys/advice.ts'
import { changeKeys, keysPath, makeKey, makeNamedKey } from '../../keys/key-store.ts'
import {
  checkCredits,
  checkModels,
  toCredits,
  toExpiry,
  toGraceMs,
  toKeyName,
  toMaxStreams,
  toModels,
  toRequestsPerMinute
} from '../../keys/key-text.ts'
import {
  graceOf,
  type KnownKeys,
  MICROS_PER_CREDIT,
  type NamedKey,
  whyRefused
} from '../../keys/key.ts'
import { GatewayError } from '../../shared/errors.ts'
import { LOCK_PATIENCE_MS } from '../../shared/file-lock.ts'
import { asJsonObject, type JsonObject } from '../../shared/json.ts'
import { toDay, toIso } from '../../shared/dates.ts'
import type { UsageSearcher } from '../usage/usage-searcher.ts'
import type { AuditActions } from './audit-actions.ts'
import { answer, givenText, ofField, panelError, refusal } from './panel-answer.ts'

/** Named keys, as the primary knows them. */
export interface PanelKeys {
  readonly knownKeys: KnownKeys
  readonly bookProblem: string | null
  /** Figures of one key, or of all. */
  readonly usageOf: (key: string | null) => Promise<readonly KeyUsage[]>
  /** Epoch ms of a key's last request since the start. */
  readonly seenAt: (key: string) => number | null
  /** Puts what the file of keys says in force. Returns false if it cannot be read. */
  readonly look: () => Promise<boolean>
}

export interface KeyActionsOptions {
  readonly keys: PanelKeys
  readonly config: () => Config
  readonly audit: Pick<AuditActions, 'note'>
  readonly searcher: Pick<UsageSearcher, 'ask'>
}

const DAY_MS = 86_400_000

/** Named keys: shown with what they have used, made, changed, replaced and revoked. */
export class KeyActions {
  readonly #options: KeyActionsOptions

  constructor(options: KeyActionsOptions) {
    this.#options = options
  }

  async list(): Promise<PanelAnswer> {
    const { keys } = this.#options
    const [usage, days] = await Promise.all([keys.usageOf(null), this.#lastDays()])
    const byId = new Map(usage.map((one) => [one.id, one]))
    const shown = keys.knownKeys.keys.map((key) => this.#toJson(key, byId.get(key.id), days))
    return answer({
      keys: shown.toSorted(
        (one, other) => Number(one.state === 'revoked') - Number(other.state === 'revoked')
      ),
      unnamed: usage
        .filter(({ id }) => isUnnamedKey(id))
        .map((one) => ({ id: one.id, ...sumsOf(one), last_seen: this.#lastSeen(one.id, days) })),
      operator_keys: this.#operatorKeys,
      book_problem: keys.bookProblem
    })
  }

  async show({ params }: PanelCall): Promise<PanelAnswer> {
    const key = this.#find(params['id'])
    const json = await this.toJson(key)
    return answer({ key: json }, 200, { etag: `"${json.version}"` })
  }

  /** The key of a person, for their own page. */
  async own(id: string): Promise<object | null> {
    const key = this.#options.keys.knownKeys.keys.find((one) => one.id === id)
    return key === undefined ? null : this.toJson(key)
  }

  async add(call: PanelCall): Promise<PanelAnswer> {
    const isFirst = this.#isFirst
    const { key: added, text: secret, more } = await this.make(call, call.body)
    const key = await this.toJson(added)
    const note = isFirst ? FIRST_KEY : null
    return answer({ key, secret, command: commandOf(call, secret), note, ...more }, 201)
  }

  /** Makes a key of the members that `keys.add` takes. `more`: a warning for the answer. */
  async make(
    call: PanelCall,
    body: JsonObject
  ): Promise<{ readonly key: NamedKey; readonly text: string; readonly more: JsonObject }> {
    const now = Date.now()
    const name = ofField('name', () => toKeyName(givenText(body, 'name') ?? ''))
    const made = makeNamedKey(name, limitsIn(body, now), now)
    if (this.#isFirst && !isMeantWithout(body)) throw panelError('GW_CONFLICT', OPERATOR_KEY_FIRST)
    const more = await this.#change((keys) => {
      requireFree(keys, name)
      const next = withNewKey(keys, made.key)
      if (next === null) throw panelError('GW_CONFLICT', `There are already ${MAX_KEYS} keys.`)
      return next
    })
    await this.#options.audit.note(call, {
      action: 'key.add',
      subject: name,
      after: factsOf(made.key)
    })
    return { ...made, more }
  }

  /** Takes back a key that was never used. */
  async unmake(call: PanelCall, made: NamedKey): Promise<void> {
    await this.#change((keys) => keys.filter(({ id }) => id !== made.id))
    await this.#options.audit.note(call, {
      action: 'key.remove',
      subject: made.name,
      before: factsOf(made)
    })
  }

  /** A named key would be the first key of all, and lock its maker out of the panel. */
  get #isFirst(): boolean {
    return !this.#options.keys.knownKeys.isKeyRequired && this.#operatorKeys === 0
  }

  get #operatorKeys(): number {
    return this.#options.config().server.apiKeys.length
  }

  async change(call: PanelCall): Promise<PanelAnswer> {
    const { body } = call
    const wanted = versionIn(call)
    if (wanted === null) {
      const message = 'Send the "version" of the key that you have seen, or If-Match.'
      throw panelError('GW_FIELD_INVALID', message, 'version')
    }
    const name =
      body['name'] === undefined
        ? {}
        : { name: ofField('name', () => toKeyName(givenText(body, 'name') ?? '')) }
    const changes = { ...limitsIn(body, Date.now()), ...name }
    return this.#changeOne(call, {
      action: 'key.change',
      wanted,
      make: (found, others) => {
        if (changes.name !== undefined) requireFree(others, changes.name)
        return { ...found, ...changes }
      }
    })
  }

  async rotate(call: PanelCall): Promise<PanelAnswer> {
    const graceMs = ofField('grace', () => toGraceMs(givenText(call.body, 'grace') ?? '0'))
    const { text: secret, sha256 } = makeKey()
    const until = Date.now() + graceMs
    return this.#changeOne(
      call,
      {
        action: 'key.rotate',
        wanted: versionIn(call),
        make: (found) => ({ ...found, hashes: rotateHashes(found.hashes, { sha256, until }) })
      },
      {
        secret,
        command: commandOf(call, secret),
        old_key_until: graceMs === 0 ? null : toIso(until)
      }
    )
  }

  async revoke(call: PanelCall): Promise<PanelAnswer> {
    const key = this.#find(call.params['id'])
    const sentence = `${JSON.stringify(key.name)} can no longer get in. Running answers end normally, and the recorded usage stays. A key cannot be enabled again; its name is free.`
    if (key.revokedAt !== null) return answer({ key: await this.toJson(key), sentence })
    const revokedAt = Date.now()
    return this.#changeOne(
      call,
      {
        action: 'key.revoke',
        wanted: versionIn(call),
        make: (found) => ({ ...found, revokedAt })
      },
      { sentence }
    )
  }

  async toJson(key: NamedKey) {
    const { keys } = this.#options
    const [[usage], days] = await Promise.all([keys.usageOf(key.id), this.#lastDays()])
    return this.#toJson(key, usage, days)
  }

  /** Last day with requests, by key: days since the epoch. Without a record, nothing is known. */
  async #lastDays(): Promise<ReadonlyMap<string, number>> {
    const found = await this.#options.searcher.ask({ type: 'last-days' }).catch(() => null)
    return new Map(found)
  }

  async #changeOne(
    call: PanelCall,
    { action, wanted, make }: KeyChange,
    more: JsonObject = {}
  ): Promise<PanelAnswer> {
    const done: { before?: NamedKey; after?: NamedKey; warned?: JsonObject } = {}
    try {
      done.warned = await this.#change((keys) => {
        const found = keys.find((one) => one.id === call.params['id'])
        if (found === undefined) throw noSuchKey()
        if (wanted !== null && wanted !== '*' && wanted !== keyVersion(found))
          throw new ChangedMeanwhile(found)
        if (found.revokedAt !== null) {
          throw panelError('GW_CONFLICT', `The key ${JSON.stringify(found.name)} is revoked.`)
        }
        const others = keys.filter((one) => one !== found)
        const after = make(found, others)
        Object.assign(done, { before: found, after })
        return keys.map((one) => (one === found ? after : one))
      })
    } catch (cause) {
      if (!(cause instanceof ChangedMeanwhile)) throw cause
      const message = `Somebody has changed ${JSON.stringify(cause.key.name)} meanwhile. Nothing of yours was saved.`
      const error = panelError('GW_CHANGED_MEANWHILE', message)
      return refusal(error, { key: await this.toJson(cause.key) })
    }
    const { before, after } = done
    if (before === undefined || after === undefined) throw noSuchKey()
    await this.#options.audit.note(call, {
      action,
      subject: before.name,
      before: factsOf(before),
      after: factsOf(after)
    })
    const key = await this.toJson(after)
    return answer({ key, ...more, ...done.warned }, 200, { etag: `"${key.version}"` })
  }

  /** Resolves when the change is in the file and in force. Returns a warning for the answer if it is only in the file. */
  async #change(make: (keys: readonly NamedKey[]) => readonly NamedKey[]): Promise<JsonObject> {
    const path = keysPath(this.#options.config().credentials.stateDir)
    const timeout = AbortSignal.timeout(LOCK_PATIENCE_MS)
    try {
      await changeKeys(path, make, timeout)
    } catch (cause) {
      if (!timeout.aborted || cause instanceof GatewayError) throw cause
      throw panelError('GW_CONFLICT', 'Another program is changing the keys. Try again.')
    }
    return (await this.#options.keys.look()) ? {} : { warning: NOT_IN_FORCE }
  }

  #find(id: string | undefined): NamedKey {
    const key = this.#options.keys.knownKeys.keys.find((one) => one.id === id)
    if (key === undefined) throw noSuchKey()
    return key
  }

  #toJson(key: NamedKey, usage: KeyUsage | undefined, days: ReadonlyMap<string, number>) {
    const now = Date.now()
    const credits = usage?.credits ?? null
    const left = credits === null ? 0 : Math.max(0, credits.limit - credits.used - credits.reserved)
    return {
      id: key.id,
      name: key.name,
      state: whyRefused(key, now) ?? ('active' as const),
      version: keyVersion(key),
      credits:
        key.credits === null
          ? null
          : {
              limit: key.credits.limit,
              period: key.credits.period,
              used: credits === null ? null : credits.used / MICROS_PER_CREDIT,
              reserved: credits === null ? null : credits.reserved / MICROS_PER_CREDIT,
              left: credits === null ? null : left / MICROS_PER_CREDIT,
              resets_at: toIso(credits?.endsAt ?? null),
              problem: credits?.problem ?? null
            },
      requests_per_minute: key.requestsPerMinute,
      max_streams: key.maxStreams,
      models: key.models,
      overage: key.mayOverage,
      created_at: toIso(key.createdAt),
      expires_at: toIso(key.expiresAt),
      revoked_at: toIso(key.revokedAt),
      old_key_until: toIso(graceOf(key, now)),
      last_seen: this.#lastSeen(key.id, days),
      today: usage === undefined ? null : sumsOf(usage).today,
      last_30_days: usage === undefined ? null : sumsOf(usage).last_30_days
    }
  }

  #lastSeen(id: string, days: ReadonlyMap<string, number>): string | null {
    const at = this.#options.keys.seenAt(id)
    if (at !== null) return toIso(at)
    const day = days.get(id)
    return day === undefined ? null : toDay(day * DAY_MS)
  }
}

interface KeyChange {
  readonly action: string
  /** Version that the user has seen; `null` if it does not matter. */
  readonly wanted: string | null
  readonly make: (found: NamedKey, others: readonly NamedKey[]) => NamedKey
}

class ChangedMeanwhile extends Error {
  readonly key: NamedKey

  constructor(key: NamedKey) {
    super('changed meanwhile')
    this.key = key
  }
}

const NOT_IN_FORCE =
  'The change is saved but not in force yet: the gateway cannot read keys.json at the moment. It tries again twice a second; the log has the reason.'

/** Before the first key of a gateway without keys. */
const OPERATOR_KEY_FIRST = `This gateway has no operator key in force. With a first named key it asks for a key each time, and nobody could operate it any more. ${MAKE_OPERATOR_KEY} Then repeat this. To make the key all the same, send "without_operator_key": true.`

const FIRST_KEY = `From now on every request needs a key, also yours. ${MAKE_OPERATOR_KEY} ${SET_UP_AGAIN}`

/** @throws {GatewayError} GW_FIELD_INVALID */
function isMeantWithout({ without_operator_key: given = false }: JsonObject): boolean {
  if (typeof given === 'boolean') return given
  const message = '"without_operator_key" is true or false.'
  throw panelError('GW_FIELD_INVALID', message, 'without_operator_key')
}

function commandOf({ baseUrl }: PanelCall, secret: string): string {
  return `npx kiro-gateway setup claude --url ${baseUrl} --key ${secret}`
}

/** @throws {GatewayError} GW_FIELD_INVALID */
function limitsIn(body: JsonObject, now: number): Partial<NamedKeyLimits> {
  const given = <T>(name: string, parse: (value: unknown) => T): T | null | undefined => {
    const value = body[name]
    if (value === undefined) return undefined
    return value === null || value === '' ? null : ofField(name, () => parse(value))
  }
  const limits = {
    credits: given('credits', (value) => {
      const object = asJsonObject(value)
      if (object === null) return toCredits(String(value))
      const { limit, period } = object
      return checkCredits({ limit, period }, `${String(limit)}/${String(period)}`)
    }),
    requestsPerMinute: given('requests_per_minute', toRequestsPerMinute),
    maxStreams: given('max_streams', toMaxStreams),
    models: given('models', (value) =>
      Array.isArray(value) ? checkModels(value) : toModels(String(value))
    ),
    mayOverage: given('overage', (value) => {
      if (typeof value === 'boolean') return value
      throw panelError('GW_FIELD_INVALID', '"overage" is true or false.')
    }),
    expiresAt: given('expires', (value) => toExpiry(String(value), now))
  }
  const overage = limits.mayOverage === null ? { mayOverage: false } : {}
  return Object.fromEntries(
    Object.entries({ ...limits, ...overage }).filter(([, value]) => value !== undefined)
  )
}

/** `If-Match` is a list of tags in quotes; one is enough here. */
function versionIn({ body, ifMatch }: PanelCall): string | null {
  const tag = ifMatch?.trim().replace(/^W\//, '').replaceAll('"', '') ?? ''
  return givenText(body, 'version') ?? (tag === '' ? null : tag)
}

/** @throws {GatewayError} GW_CONFLICT */
function requireFree(keys: readonly NamedKey[], name: string): void {
  const taken = findInForce(keys, name)
  if (taken === undefined) return
  throw panelError(
    'GW_CONFLICT',
    `A key ${JSON.stringify(taken.name)} already exists. Change or replace it, or choose another name.`,
    'name'
  )
}

function noSuchKey(): GatewayError {
  return panelError('GW_NOT_FOUND', 'There is no such key.')
}

function sumsOf({ today, last30Days }: KeyUsage) {
  return {
    today: today === null ? null : namedSums(today),
    last_30_days: last30Days === null ? null : namedSums(last30Days)
  }
}

/** For the audit log: without hashes. */
function factsOf(key: NamedKey): JsonObject {
  const { id, name, credits, requestsPerMinute, maxStreams, models, mayOverage } = key
  return {
    id,
    name,
    credits,
    requests_per_minute: requestsPerMinute,
    max_streams: maxStreams,
    models,
    overage: mayOverage,
    expires_at: toIso(key.expiresAt),
    revoked_at: toIso(key.revokedAt),
    old_key_until: toIso(graceOf(key, Date.now()))
  }
}
