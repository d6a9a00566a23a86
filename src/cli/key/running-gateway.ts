import { inspectConfig } from '../../config/load.ts'
import type { NamedKeyLimits } from '../../keys/key-changes.ts'
import { toIso } from '../../shared/dates.ts'
import { operatorError } from '../../shared/errors.ts'
import { asJsonObject, type JsonObject, parseJsonObject, textMember } from '../../shared/json.ts'
import { realFolder } from '../../shared/real-folder.ts'
import type { CommandCall } from '../command.ts'
import { gatewayUrl } from '../setup/gateway.ts'

export interface KeyChanged {
  readonly id: string
  readonly secret: string | null
}

const LOOK_MS = 3_000
/** A change waits for the lock of the file and for all workers. */
const CHANGE_MS = 60_000
/** The gateway leaves these changes to whoever can write its files. */
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
  const { config } = inspectConfig(call.env)
  const [key] = config.server.apiKeys
  if (key === undefined || config.server.port === 0) return null
  const gateway = { url: gatewayUrl(null, config), key, signal: call.signal }
  if (!(await isOwnFolder(gateway, config.credentials.stateDir))) return null
  const reply = await ask(gateway, { path, body, timeoutMs: CHANGE_MS }).catch((cause: unknown) => {
    call.signal.throwIfAborted()
    const message = `The gateway at ${gateway.url} has not answered. Look with "kiro-gateway key list" whether the change was made.`
    throw operatorError(message, cause)
  })
  const { error, key: changed, warning } = reply.json
  const refusal = asJsonObject(error)
  if (reply.status >= 400) {
    if (LEFT_TO_FILES.has(textMember(refusal ?? {}, 'code') ?? '')) return null
    throw operatorError(
      textMember(refusal ?? {}, 'message') ?? `${gateway.url} answered with status ${reply.status}.`
    )
  }
  if (typeof warning === 'string') call.terminal.note(warning)
  const id = textMember(asJsonObject(changed) ?? {}, 'id') ?? ''
  return { id, secret: textMember(reply.json, 'secret') }
}

/** Reads from the panel's API. `null` if no gateway of these settings answers here, or it has no operator key. */
export async function readAtGateway(call: CommandCall, path: string): Promise<JsonObject | null> {
  const { config } = inspectConfig(call.env)
  const [key] = config.server.apiKeys
  if (key === undefined || config.server.port === 0) return null
  const gateway = { url: gatewayUrl(null, config), key, signal: call.signal }
  if (!(await isOwnFolder(gateway, config.credentials.stateDir))) return null
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

interface Gateway {
  readonly url: string
  readonly key: string
  readonly signal: AbortSignal
}

/** Another gateway may have the port, or one in a container that cannot be told from this machine's. */
async function isOwnFolder(gateway: Gateway, stateDir: string): Promise<boolean> {
  try {
    const { status, json } = await ask(gateway, { path: 'gateway', timeoutMs: LOOK_MS })
    return status === 200 && json['state_dir'] === (await realFolder(stateDir))
  } catch {
    gateway.signal.throwIfAborted()
    return false // nobody is there
  }
}

interface Asked {
  readonly path: string
  readonly body?: JsonObject
  readonly timeoutMs: number
}

async function ask(
  { url, key, signal }: Gateway,
  { path, body, timeoutMs }: Asked
): Promise<{ readonly status: number; readonly json: JsonObject }> {
  const response = await fetch(`${url}/admin/v1/${path}`, {
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    redirect: 'manual',
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) })
  })
  return { status: response.status, json: parseJsonObject(await response.text()) ?? {} }
}
