import type { ServerResponse } from 'node:http'
import t from 'tap'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'

t.setTimeout(600_000)

t.test('a token that is refused after a heartbeat is renewed for later requests', async (t) => {
  const beaten = Promise.withResolvers<void>()
  const body = JSON.stringify({ message: 'The bearer token included in the request is invalid.' })
  const refuse = async (response: ServerResponse): Promise<void> => {
    await beaten.promise
    response.writeHead(403, { 'content-type': 'application/json' }).end(body)
  }
  const upstream = await CountingUpstream.start(t, (_request, response) => void refuse(response))
  const primary = await FakePrimary.start(t, upstream.url, { env: { HEARTBEAT_INTERVAL: '0.05' } })
  const refused = primary.asked('credential.refused')
  const response = await fetch(`${primary.url}/v1/responses`, {
    method: 'POST',
    headers: { authorization: 'Bearer good-key' },
    body: JSON.stringify({ model: 'auto', store: false, stream: true, input: 'hi' })
  })
  t.equal(response.status, 200, 'its headers come with a heartbeat')
  beaten.resolve()
  t.match(await response.text(), /event: (?:error|response\.failed)/)
  t.type(await refused, 'number')
  t.equal(upstream.requests, 1, 'this request is over')
})
