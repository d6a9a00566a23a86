import {
  desktopUrl,
  hostsFor,
  isRegion,
  managementUrl,
  oidcUrl,
  resolveApiRegion
} from '../../../kiro/wire/hosts.ts'
import { asGatewayError } from '../../../shared/errors.ts'
import { chooseProxy } from '../../../upstream/proxy/proxy.ts'
import { readCertificate } from './certificate.ts'
import type { Checkup } from './checkup.ts'
import type { UsedHost, Visit } from './visit.ts'

const VISIT_TIMEOUT_MS = 11_000
const CERTIFICATE_TIMEOUT_MS = 3_000

export async function usedHosts(checkup: Checkup): Promise<readonly UsedHost[]> {
  const { config } = checkup
  const { upstream } = config
  const { stored, idpUrl } = await checkup.signIn()
  const { region, apiRegion: setRegion, profileArn } = config.credentials
  const authType = stored?.authType ?? null
  const toldRegion = stored?.ssoRegion ?? region
  const ssoRegion = isRegion(toldRegion) ? toldRegion : region
  const apiRegion = resolveApiRegion({
    explicit: stored?.apiRegion ?? setRegion,
    profileArn: stored?.profileArn ?? profileArn,
    ssoRegion: toldRegion
  })
  const [first, ...others] = hostsFor({ apiRegion }, upstream)
  const renewal = {
    social: { url: desktopUrl(ssoRegion, '/refreshToken', upstream), setting: 'KIRO_AUTH_URL' },
    aws: { url: oidcUrl(ssoRegion, '/token', upstream), setting: 'KIRO_OIDC_URL' },
    'external-idp': idpUrl === null ? null : { url: idpUrl, setting: 'KIRO_IDP_URL' },
    'api-key': null
  }[authType === null || authType === 'idc' || authType === 'builder-id' ? 'aws' : authType]
  const hosts = [
    { role: 'answers', url: first?.url ?? '', setting: 'KIRO_API_URL', isFallback: false },
    ...others.map(({ url }) => ({
      role: 'answers, second choice',
      url,
      setting: 'KIRO_API_URL',
      isFallback: true
    })),
    {
      role: 'models and usage',
      url: managementUrl({ apiRegion }, upstream),
      setting: upstream.managementUrl === null ? 'KIRO_API_URL' : 'KIRO_MANAGEMENT_URL',
      isFallback: false
    },
    ...(renewal === null ? [] : [{ role: 'sign-in', ...renewal, isFallback: false }])
  ]
  const byOrigin = new Map<string, UsedHost>()
  for (const host of hosts) {
    const url = new URL(host.url)
    const known = byOrigin.get(url.origin)
    const role = known === undefined ? host.role : `${known.role}, ${host.role}`
    byOrigin.set(url.origin, { ...(known ?? host), url: known?.url ?? url, role })
  }
  return [...byOrigin.values()]
}

/** Sends no token. */
export async function visitHost(host: UsedHost, checkup: Checkup): Promise<Visit> {
  const { network, config, signal } = checkup
  const proxy = chooseProxy(config.proxy)(host.url)
  const begun = performance.now()
  const request = {
    method: 'GET',
    url: `${host.url.origin}/`,
    headers: { 'user-agent': config.upstream.userAgent, accept: 'application/json' },
    setting: host.setting,
    timeoutMs: VISIT_TIMEOUT_MS
  } as const
  try {
    const outcome = await network.call(request, signal)
    const ms = Math.round(performance.now() - begun)
    const told = Date.parse(outcome.headers['date'] ?? '')
    // The date is cut to seconds, and was written before the answer arrived.
    const aheadMs = Number.isNaN(told) ? null : Date.now() - ms / 2 - (told + 500)
    return { host, proxy, ms, outcome, certificate: null, aheadMs }
  } catch (cause) {
    const outcome = asGatewayError(cause)
    const ms = Math.round(performance.now() - begun)
    const certificate =
      outcome.code === 'GW_UPSTREAM_TLS'
        ? await readCertificate({
            origin: host.url,
            proxy,
            nameServers: config.names.servers,
            timeoutMs: CERTIFICATE_TIMEOUT_MS
          })
        : null
    return { host, proxy, ms, outcome, certificate, aheadMs: null }
  }
}
