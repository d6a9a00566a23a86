import { once } from 'node:events'
import { createServer } from 'node:net'
import { codeOf } from '../../../shared/errors.ts'
import { type JsonObject, parseJsonObject, textMember } from '../../../shared/json.ts'
import { version } from '../../../shared/version.ts'
import { readText } from '../../read-text.ts'
import type { Check } from './checkup.ts'
import { type DoctorFinding, found } from './finding.ts'

const ASK_TIMEOUT_MS = 3_000

/** Whether the gateway can listen where it is told to, and who does now. */
export const portCheck: Check = {
  id: 'port',
  title: 'port, and a gateway that runs',
  async run({ config, signal }) {
    const { host, port } = config.server
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
    const code = await tryListen(host, port)
    if (code === null) {
      const what = port === 0 ? 'Any free port is taken.' : `Nobody listens on ${address}.`
      return [found('port-free', what)]
    }
    if (code === 'EACCES')
      return [found('port-forbidden', `This user may not listen on ${address}.`)]
    if (code !== 'EADDRINUSE') {
      return [found('address-unusable', `${address} is no address to listen on (${code}).`)]
    }
    const ready = await askReady(host, port, signal)
    if (ready === null) return [found('port-taken', `Another program listens on ${address}.`)]
    return judgeGateway(address, ready)
  }
}

/** Why it is impossible to listen there, as a code of Node; `null` where it is possible. */
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

/** What a gateway says of itself; `null` for any other program. */
async function askReady(
  host: string,
  port: number,
  signal: AbortSignal
): Promise<JsonObject | null> {
  const asked = ['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host
  const url = `http://${asked.includes(':') ? `[${asked}]` : asked}:${port}/readyz`
  try {
    const response = await fetch(url, {
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(ASK_TIMEOUT_MS)])
    })
    const answer = parseJsonObject(await readText(response, MAX_ANSWER_BYTES))
    const isOurs = answer !== null && ['ready', 'not ready'].includes(String(answer['status']))
    return isOurs && 'upstream' in answer ? answer : null
  } catch {
    return null // no HTTP, or no answer: another program
  }
}

const MAX_ANSWER_BYTES = 65_536

function judgeGateway(address: string, ready: JsonObject): readonly DoctorFinding[] {
  const running = textMember(ready, 'version')
  const upstream =
    textMember(ready, 'upstream') === 'simulator' ? ', which answers by its simulator' : ''
  const findings = [
    found(
      'port-ours',
      `A kiro-gateway ${running ?? 'of an older version'} runs on ${address}${upstream}.`
    )
  ]
  if (running !== version) {
    const what = `The gateway on ${address} is ${running ?? 'an older version'}, this program is ${version}.`
    findings.push(found('gateway-other-version', what))
  }
  const { problems } = ready
  const reasons = Array.isArray(problems) ? problems.filter((one) => typeof one === 'string') : []
  return [
    ...findings,
    ...reasons.map((reason) => found('gateway-not-ready', `The gateway on ${address}: ${reason}`))
  ]
}
