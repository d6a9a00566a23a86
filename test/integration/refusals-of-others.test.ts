import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { changeKeys, keysPath } from '../../src/keys/key-store.ts'
import { ErrorTable } from '../../src/shared/error-table.ts'
import type { ErrorCode } from '../../src/shared/errors.ts'
import { AlertReceiver } from '../helper/alert-receiver.ts'
import { startChat } from '../helper/chat-client.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { DashboardReader } from '../helper/dashboard-reader.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { hashOfKey, namedKey } from '../helper/named-key.ts'
import { isNightly } from '../helper/nightly.ts'
import { stateFolder } from '../helper/state-folder.ts'

/**
 * A refusal that concerns the account may quote the request that met it. Its client and the log get the upstream's words;
 * everybody else gets the gateway's own.
 */

t.setTimeout(600_000) // real processes, on a machine that may be busy

const ANNA = 'kgw_key-of-anna-0123456789'
const BERT = 'kgw_key-of-bert-0123456789'
const OPERATOR = 'operator-key-0123456789'
const MARK = 'anna@example.com'

interface Refusal {
  readonly code: ErrorCode
  readonly status: number
  readonly body: object
  readonly headers?: Readonly<Record<string, string>>
}

const REFUSALS: readonly Refusal[] = [
  {
    code: 'GW_UPSTREAM_QUOTA',
    status: 402,
    body: { message: `The limit of ${MARK} is reached`, reason: 'MONTHLY_REQUEST_COUNT' }
  },
  { code: 'GW_UPSTREAM_QUOTA', status: 402, body: { message: 'Limit', reason: `of ${MARK}` } },
  {
    code: 'GW_UPSTREAM_SUSPENDED',
    status: 423,
    body: { message: `User ${MARK} is temporarily suspended` }
  },
  {
    code: 'GW_UPSTREAM_SUSPENDED',
    status: 403,
    body: { message: `Your User ID (${MARK}) temporarily is suspended` }
  },
  {
    code: 'GW_UPSTREAM_RESTRICTED',
    status: 429,
    body: { __type: 'ThrottlingException', message: `suspicious activity of ${MARK}` }
  },
  {
    code: 'GW_CLIENT_NOT_ADMITTED',
    status: 403,
    body: { message: `The seat of ${MARK} does not support this application` }
  },
  {
    code: 'GW_UPSTREAM_OVERLOADED',
    status: 503,
    body: { message: `unexpectedly high load: ${MARK}` },
    headers: { 'retry-after': '600' }
  }
]

/** By day one that is told at once, and one that is told to the operator as well. */
const TRIED = isNightly
  ? REFUSALS
  : REFUSALS.filter(({ status }) => status === 402 || status === 423)

/** A gateway with one connection, so that Bert waits behind Anna, whose request is refused. */
async function setUp(t: Test, { status, body, headers }: Refusal) {
  const upstream = await CountingUpstream.start(t)
  let asked = 0
  const arrived = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    request.resume()
    if (request.url?.includes('generateAssistantResponse') !== true) {
      response.writeHead(404).end()
      return
    }
    asked += 1
    const owner = asked === 1 ? MARK : 'another'
    arrived.resolve()
    await release.promise
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(body).replace(MARK, owner))
  }
  upstream.onRequest = (request, response) => void answer(request, response)
  const stateDir = stateFolder(t)
  const people = Object.entries({ anna: ANNA, bert: BERT })
  const keys = people.map(([name, key]) =>
    namedKey({ id: `k_${name}`, name, hashes: [hashOfKey(key)] })
  )
  await changeKeys(keysPath(stateDir), () => keys, new AbortController().signal)
  const receiver = await AlertReceiver.start(t)
  const gateway = await startGateway({
    upstreamUrl: upstream.url.origin,
    env: {
      WORKERS: '1',
      HTTP_MAX_CONNECTIONS: '1',
      PROXY_API_KEY: OPERATOR,
      STATE_DIR: stateDir,
      UPSTREAM_MAX_ATTEMPTS: '1',
      ALERT_WEBHOOK_URL: receiver.url
    }
  })
  t.teardown(() => gateway.destroy())
  return { gateway, receiver, arrived: arrived.promise, release: release.resolve }
}

t.test('the words of a refusal reach its own client and the log, and nobody else', async (t) => {
  for (const refusal of TRIED) {
    await t.test(`${refusal.status} ${JSON.stringify(refusal.body)}`, async (t) => {
      const { gateway, receiver, arrived, release } = await setUp(t, refusal)
      const { code } = refusal
      const ask = (key: string) => startChat(gateway.url, 'hi', { headers: { 'x-api-key': key } })
      const anna = ask(ANNA)
      await arrived
      const waiting = ask(BERT)
      const isWaiting = async () =>
        /^kiro_gateway_pool_waiters.* 1$/m.test(await read('/metrics', OPERATOR))
      const read = async (path: string, key: string): Promise<string> => {
        const answer = await fetch(`${gateway.url}${path}`, { headers: { 'x-api-key': key } })
        return answer.text()
      }
      while (!(await isWaiting())) await delay(20)
      release()
      t.match((await anna.answer).text, MARK, 'its own client reads the words')
      await gateway.logged((line) => JSON.stringify(line).includes(MARK)) // so does the operator
      const told = { waiting: (await waiting.answer).text, next: (await ask(BERT).answer).text }
      for (const [who, text] of Object.entries(told)) t.notMatch(text, MARK, who)
      t.match(told.next, ErrorTable[code].message)
      if (code === 'GW_UPSTREAM_SUSPENDED') await receiver.count(1)
      const dashboard = new DashboardReader(gateway.url, { 'x-api-key': OPERATOR })
      const { account } = await dashboard.until((reader) => reader.account !== null)
      dashboard.close()
      const pages = {
        dashboard: JSON.stringify(account),
        readiness: await read('/readyz', BERT),
        'readiness for the operator': await read('/readyz', OPERATOR),
        usage: await read('/v1/usage', BERT),
        metrics: await read('/metrics', OPERATOR),
        alerts: receiver.text
      }
      for (const [page, text] of Object.entries(pages)) t.notMatch(text, MARK, page)
      t.match(pages.readiness, /"status":"not ready"/)
    })
  }
})
