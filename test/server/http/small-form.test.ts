import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { readSmallForm } from '../../../src/server/http/small-body.ts'
import { codeOf } from '../../../src/shared/errors.ts'

const FORM = 'application/x-www-form-urlencoded'

t.test('reads the fields of a form, and nothing that is none', async (t) => {
  const server = createServer((request, response) => {
    readSmallForm(request, { maxBytes: 64, timeoutMs: 5_000 }).then(
      (form) => response.end(JSON.stringify([...form])),
      (cause: unknown) => response.end(codeOf(cause))
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const send = async (type: string, body: string, more = {}): Promise<string> => {
    const headers = { 'content-type': type, connection: 'close', ...more }
    return (await fetch(url, { method: 'POST', headers, body })).text()
  }
  t.same(JSON.parse(await send(`${FORM}; charset=UTF-8`, 'a=%C3%A4+b&c=&a=2')), [
    ['a', 'ä b'],
    ['c', ''],
    ['a', '2']
  ])
  t.equal(await send('application/json', '{}'), 'GW_BODY_INVALID')
  t.equal(await send(`${FORM}x`, 'a=1'), 'GW_BODY_INVALID')
  t.equal(await send(FORM, `a=${'x'.repeat(63)}`), 'GW_BODY_TOO_LARGE')
  t.equal(await send(FORM, 'a=1', { 'content-encoding': 'gzip' }), 'GW_BODY_ENCODED')
})
