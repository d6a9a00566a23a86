import { inspectConfig } from '../../config/load.ts'
import type { NamedKeyLimits } from '../../keys/key-changes.ts'
import { toIso } from '../../shared/dates.ts'
import { type GatewayError, operatorError } from '../../shared/errors.ts'
import { asJsonObject, type JsonObject, parseJsonObject, textMember } from '../../shared/json.ts'
import { realFolder } from '../../shared/real-folder.ts'
import { askGateway, type AskedGateway, type GatewayQuestion } from '../ask-gateway.ts'
import type { CommandCall } from '../command.ts'
import { gatewayUrl } from '../setup/gateway.ts'

export interface KeyChanged {
  readonly id: string
  readonly secret: string | null
}

const LOOK_MS = 3_000
/** A change waits for the lock of the file and for all workers. */
const CHANGE_MS = 60_000
/** The gateway leaves these changes to users who can write its files. */
const LEFT_TO_FILES: ReadonlySet<string> = new Set(['GW_READ_ONLY', 'GW_TLS_REQUIRED'])

/**
 * Has the gateway of these settings change a key: all its workers go by it then, and its audit log has it.
 * `null` if none runs here with this STATE_DIR, or takes no operator key from these settings.
 * @throws {GatewayError} GW_CONFIG_INVALID if it refuses the change
 */
export async function changeAtGateway(
  call: CommandCall,
  path: string,
  body: JsonObject
): Promise<KeyChanged | null> {
  const gateway = await operatedGateway(call)
  if (gateway === null) return null
  const reply = await ask(gateway, { path, body, timeoutMs: CHANGE_MS }).catch((cause: unknown) => {
    call.signal.throwIfAborted()
    throw noAnswer(gateway, 'Look with "kiro-gateway key list" whether the change was made.', cause)
  })
  if (LEFT_TO_FILES.has(refusalIn(reply.json).code)) return null
  const changed = answerOf(gateway, reply)
  tellWarning(call, changed)
  const id = textMember(asJsonObject(changed['key']) ?? {}, 'id') ?? ''
  return { id, secret: textMember(changed, 'secret') }
}

/**
 * Asks the gateway of these settings about its devices, or has it decide about one: it alone knows them.
 * @throws {GatewayError} GW_CONFIG_INVALID if none runs here, or it refuses
 */
export async function askAboutDevices(
  call: CommandCall,
  path: string,
  body?: JsonObject
): Promise<JsonObject> {
  const gateway = await ownGateway(call)
  if (gateway === null) throw operatorError(NOT_HERE)
  const asked = { path, timeoutMs: CHANGE_MS, ...(body !== undefined && { body }) }
  const reply = await ask(gateway, asked).catch((cause: unknown) => {
    call.signal.throwIfAborted()
    throw noAnswer(gateway, 'Look with "kiro-gateway key waiting" what has become of it.', cause)
  })
  if (reply.status === 404 && body === undefined) throw operatorError(TURNED_OFF)
  const answer = answerOf(gateway, reply)
  tellWarning(call, answer)
  return answer
}

const NOT_HERE =
  'No gateway with these settings runs on this machine, or it takes none of their operator keys (PROXY_API_KEY). Run this in the folder of the gateway, or use its panel.'
const TURNED_OFF =
  'This gateway lets no devices sign in (DEVICE_SIGN_IN=off), or has no panel (DASHBOARD=off).'

/** @throws {GatewayError} GW_CONFIG_INVALID for a refusal, in the gateway's words */
function answerOf({ url }: AskedGateway, { status, json }: Reply): JsonObject {
  if (status < 400) return json
  const { message } = refusalIn(json)
  throw operatorError(message === '' ? `${url} answered with status ${status}.` : message)
}

function refusalIn({ error }: JsonObject): { readonly code: string; readonly message: string } {
  const refusal = asJsonObject(error) ?? {}
  return { code: textMember(refusal, 'code') ?? '', message: textMember(refusal, 'message') ?? '' }
}

function tellWarning({ terminal }: CommandCall, { warning }: JsonObject): void {
  if (typeof warning === 'string') terminal.note(warning)
}

function noAnswer({ url }: AskedGateway, what: string, cause: unknown): GatewayError {
  return operatorError(`The gateway at ${url} has not answered. ${what}`, cause)
}

/** Reads from the panel's API. `null` if no gateway of these settings answers here, or it has no operator key. */
export async function readAtGateway(call: CommandCall, path: string): Promise<JsonObject | null> {
  const gateway = await operatedGateway(call)
  if (gateway === null) return null
  try {
    const { status, json } = await ask(gateway, { path, timeoutMs: LOOK_MS })
    return status === 200 ? json : null
  } catch {
    call.signal.throwIfAborted()
    return null
  }
}

/** Limits as the panel's API takes them. */
export function toApiLimits(limits: Partial<NamedKeyLimits>): JsonObject {
  const { credits, requestsPerMinute, maxStreams, models, mayOverage, expiresAt } = limits
  const given = {
    credits: credits && { limit: credits.limit, period: credits.period },
    requests_per_minute: requestsPerMinute,
    max_streams: maxStreams,
    models: models && [...models],
    overage: mayOverage,
    expires: expiresAt && toIso(expiresAt)
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

/** `null` also without an operator key. */
async function operatedGateway(call: CommandCall): Promise<AskedGateway | null> {
  const hasKey = inspectConfig(call.env).config.server.apiKeys.length > 0
  return hasKey ? ownGateway(call) : null
}

/** Another gateway may have the port, or one in a container that cannot be told from this machine's. */
async function ownGateway({ env, signal }: CommandCall): Promise<AskedGateway | null> {
  const { config } = inspectConfig(env)
  if (config.server.port === 0) return null
  const url = gatewayUrl(null, config)
  const gateway = { url, key: config.server.apiKeys[0] ?? null, signal }
  try {
    const { status, json } = await ask(gateway, { path: 'gateway', timeoutMs: LOOK_MS })
    const { stateDir } = config.credentials
    const isOwn = status === 200 && json['state_dir'] === (await realFolder(stateDir))
    return isOwn ? gateway : null
  } catch {
    signal.throwIfAborted()
    return null // no gateway is there
  }
}

interface Reply {
  readonly status: number
  readonly json: JsonObject
}

/** Calls the panel's API. */
async function ask(
  gateway: AskedGateway,
  { path, ...more }: Omit<GatewayQuestion, 'headers'>
): Promise<Reply> {
  const { status, text } = await askGateway(gateway, { path: `/admin/v1/${path}`, ...more })
  return { status, json: parseJsonObject(text) ?? {} }
}
