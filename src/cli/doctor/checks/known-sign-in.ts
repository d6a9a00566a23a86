import type { Config } from '../../../config/settings.ts'
import { ProfileFinder } from '../../../control/account/profile-finder.ts'
import { CredentialRefresher } from '../../../credentials/refresher.ts'
import { idpTokenUrl } from '../../../credentials/idp-endpoint.ts'
import { tokenAge, toSnapshot } from '../../../credentials/sign-in.ts'
import type { StoredCredential } from '../../../credentials/stored-credential.ts'
import { type LookedAt, lookForSource } from '../../../credentials/usual-places.ts'
import { CredentialVault } from '../../../credentials/vault.ts'
import type { CredentialSnapshot } from '../../../kiro/wire/credential-snapshot.ts'
import { createLogger } from '../../../observe/logger.ts'
import { asGatewayError, GatewayError } from '../../../shared/errors.ts'
import type { Checkup } from './checkup.ts'

export interface KnownSignIn {
  /** Such as `KIRO_CREDS_FILE /path`; `null` if there is none. */
  readonly name: string | null
  readonly loginHint: string | null
  readonly stored: StoredCredential | null
  /** Token endpoint of an external identity provider; `null` for others, and if it must not be called. */
  readonly idpUrl: string | null
  readonly passedOver: readonly LookedAt[]
  readonly snapshot: CredentialSnapshot | null
  readonly error: GatewayError | null
}

const NONE: KnownSignIn = {
  name: null,
  loginHint: null,
  stored: null,
  idpUrl: null,
  passedOver: [],
  snapshot: null,
  error: null
}

/** Findings contain everything that would be logged. */
const log = createLogger('silent', {}, { write: () => {} })

/** Reads source and overlay like a starting gateway. Renews nothing. Never rejects. */
export async function readSignIn(config: Config): Promise<KnownSignIn> {
  const { credentials } = config
  let named = NONE
  try {
    const { source, places } = await lookForSource(credentials, { log })
    named = { ...NONE, passedOver: places.filter(({ problem }) => problem !== null) }
    if (source === null) return named
    named = { ...named, name: source.name, loginHint: source.loginHint }
    const kept = await new CredentialVault(source, credentials.stateDir, log).load()
    const { stored, idpUrl } = withEndpoint(kept, config)
    const { accessToken } = stored
    const isUsable = accessToken !== null && tokenAge(stored, Date.now()) !== 'expired'
    const snapshot = isUsable
      ? toSnapshot(source.id, { ...stored, accessToken }, credentials)
      : null
    return { ...named, stored, idpUrl, snapshot }
  } catch (cause) {
    return { ...named, error: asGatewayError(cause) }
  }
}

function withEndpoint(
  stored: StoredCredential,
  { upstream, credentials }: Config
): Pick<KnownSignIn, 'idpUrl'> & { readonly stored: StoredCredential } {
  const { idp } = stored
  if (idp === undefined) return { stored, idpUrl: null }
  if (upstream.idpUrl !== null) return { stored, idpUrl: upstream.idpUrl }
  try {
    return { stored, idpUrl: idpTokenUrl(idp, credentials.idpHosts) }
  } catch (cause) {
    const renewalProblem = stored.renewalProblem ?? asGatewayError(cause).message
    return { stored: { ...stored, renewalProblem }, idpUrl: null }
  }
}

/** Renews an expired token like the gateway. @throws {GatewayError} GW_CONFIG_INVALID, or why it failed */
export async function renewSignIn({
  network,
  config
}: Pick<Checkup, 'network' | 'config'>): Promise<CredentialSnapshot | null> {
  const { credentials: settings, upstream } = config
  const { source } = await lookForSource(settings, { log })
  if (source === null) return null
  const { call } = network
  const refresher = new CredentialRefresher({
    source,
    settings,
    upstream,
    call,
    log,
    onChange: () => {}
  })
  try {
    await refresher.start()
    const state = refresher.state()
    if (state.name === 'usable') return state.snapshot
    throw state.problem ?? new GatewayError('GW_NOT_READY')
  } finally {
    await refresher.close()
  }
}

/** Limit of the search in all regions, which must leave time for the rest. */
const FIND_TIMEOUT_MS = 8_000

export async function withProfile(
  snapshot: CredentialSnapshot,
  { network, config, signal }: Pick<Checkup, 'network' | 'config' | 'signal'>
): Promise<CredentialSnapshot> {
  const { upstream, credentials } = config
  const { apiRegion } = credentials
  const finder = new ProfileFinder({ call: network.call, upstream, apiRegion, log })
  const patience = AbortSignal.any([signal, AbortSignal.timeout(FIND_TIMEOUT_MS)])
  if (finder.isIncomplete(snapshot)) await finder.find(snapshot, patience)
  return finder.complete(snapshot)
}

export function secretsOfSignIn(known: KnownSignIn | null): readonly string[] {
  const { accessToken, refreshToken, client } = known?.stored ?? {}
  const secrets = [accessToken, refreshToken, client?.clientId, client?.clientSecret]
  return secrets.filter((secret) => typeof secret === 'string')
}
