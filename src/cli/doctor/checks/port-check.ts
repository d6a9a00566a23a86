import { once } from 'node:events'
import { createServer } from 'node:net'
import { codeOf } from '../../../shared/errors.ts'
import { type JsonObject, parseJsonObject, textMember } from '../../../shared/json.ts'
import { isFailureCode } from '../../../shared/failures.ts'
import { version } from '../../../shared/version.ts'
import { askGateway, type AskedGateway } from '../../ask-gateway.ts'
import { gatewayUrl } from '../../setup/gateway.ts'
import type { Check } from './checkup.ts'
import { type DoctorFinding, found } from './finding.ts'

export const portCheck: Check = {
  id: 'port',
  title: 'port and running gateway',
  async run({ config, signal }) {
    const { host, port } = config.server
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
    const code = await tryListen(host, port)
    if (code === null) {
      const what = port === 0 ? 'The gateway uses any free port.' : `${address} is free.`
      return [found('port-free', what)]
    }
    if (code === 'EACCES')
      return [found('port-forbidden', `This user may not listen on ${address}.`)]
    if (code !== 'EADDRINUSE') {
      return [found('address-unusable', `${address} is not an address to listen on (${code}).`)]
    }
    const key = config.server.apiKeys[0] ?? config.server.metricsKey
    const ready = await askReady({ url: gatewayUrl(null, config), key, signal })
    if (ready === null) return [found('port-taken', `Another program listens on ${address}.`)]
    return judgeGateway(address, ready)
  }
}

async function tryListen(host: string, port: number): Promise<string | null> {
  const server = createServer()
  try {
    server.listen({ host, port, exclusive: true })
    await once(server, 'listening')
    return null
  } catch (cause) {
    return codeOf(cause)
  } finally {
    server.close()
  }
}

/** `null` for any other program, which never gets a key. Without a key, only readiness is reported. */
async function askReady(gateway: AskedGateway): Promise<JsonObject | null> {
  const told = await readReady({ ...gateway, key: null })
  if (told === null || gateway.key === null || 'upstream' in told) return told
  return (await readReady(gateway)) ?? told
}

async function readReady(gateway: AskedGateway): Promise<JsonObject | null> {
  try {
    const { text } = await askGateway(gateway, READY)
    const answer = parseJsonObject(text)
    if (answer === null || !['ready', 'not ready'].includes(String(answer['status']))) return null
    return 'upstream' in answer || Object.keys(answer).length === 1 ? answer : null
  } catch {
    return null // no HTTP, or no answer: another program
  }
}

const READY = { path: '/readyz', timeoutMs: 3_000, maxBytes: 65_536 }

function judgeGateway(address: string, ready: JsonObject): readonly DoctorFinding[] {
  const running = textMember(ready, 'version')
  if (!('upstream' in ready)) return judgeStatus(address, ready)
  const upstream =
    textMember(ready, 'upstream') === 'simulator' ? ', which answers with its simulator' : ''
  const findings = [
    found(
      'port-ours',
      `kiro-gateway ${running ?? 'of an older version'} is running on ${address}${upstream}.`
    )
  ]
  if (running !== version) {
    const what = `The gateway on ${address} is ${running ?? 'an older version'}, this program is ${version}.`
    findings.push(found('gateway-other-version', what))
  }
  const { problems, codes } = ready
  const reasons = Array.isArray(problems) ? problems.filter((one) => typeof one === 'string') : []
  const level = textMember(ready, 'level') ?? 'green'
  if (reasons.length === 0 && level !== 'green') {
    const what = `The gateway on ${address} is ${level}: ${textMember(ready, 'verdict') ?? 'no reason is given'}.`
    return [...findings, found('gateway-unwell', what)]
  }
  return [
    ...findings,
    ...reasons.map((reason, index) => {
      const code: unknown = Array.isArray(codes) ? codes[index] : null
      const known = isFailureCode(code) ? { code } : {}
      const id = FINDINGS.get(code) ?? 'gateway-not-ready'
      return found(id, `The gateway on ${address}: ${reason}`, known)
    })
  ]
}

/** Problems of a gateway that can serve all the same. */
const FINDINGS: ReadonlyMap<unknown, 'gateway-usage' | 'gateway-failing'> = new Map([
  ['usage-book', 'gateway-usage'],
  ['requests-failing', 'gateway-failing']
])

function judgeStatus(address: string, ready: JsonObject): readonly DoctorFinding[] {
  const ours = found('port-ours', `kiro-gateway is running on ${address}.`)
  if (textMember(ready, 'status') === 'ready') return [ours]
  const what = `The gateway on ${address} is not ready. /readyz gives the reason to callers with one of its keys.`
  return [ours, found('gateway-not-ready', what)]
}
