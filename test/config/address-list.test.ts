import t from 'tap'
import { isListed, plainAddress, toAddressList } from '../../src/config/address-list.ts'
import { loadConfig } from '../../src/config/load.ts'

const load = (env: Readonly<Record<string, string>>) => () => loadConfig(env, [])

t.test('addresses and networks', async (t) => {
  const list = toAddressList(['10.0.0.2', '172.18.0.0/16', '2001:db8::/32', '::1'])
  if (list === null) throw new Error('it is a list')
  for (const address of ['10.0.0.2', '::ffff:10.0.0.2', '172.18.255.1', '2001:db8::7', '::1'])
    t.ok(isListed(list, address), address)
  for (const address of ['10.0.0.3', '172.19.0.1', '2001:db9::1', '', 'localhost', '127.0.0.1'])
    t.notOk(isListed(list, address), address)
  for (const wrong of ['10.0.0', '10.0.0.0/33', '::/129', 'proxy', '10.0.0.1/x'])
    t.equal(toAddressList([wrong]), null, wrong)
  t.equal(plainAddress('::FFFF:192.0.2.1'), '192.0.2.1')
  t.equal(plainAddress('::1'), '::1')
})

t.test('settings of proxies say what is wrong or missing', async (t) => {
  t.throws(load({ TRUSTED_PROXIES: 'proxy' }), /TRUSTED_PROXIES is "proxy"/)
  t.throws(load({ TRUSTED_PROXIES: '10.0.0.1/99' }), /neither an address nor a network/)
  t.throws(
    load({ DASHBOARD_TRUSTED_HEADER: 'x-forwarded-user' }),
    /needs TRUSTED_PROXIES and DASHBOARD_OPERATORS/
  )
  t.throws(
    load({ DASHBOARD_TRUSTED_HEADER: 'x-user', TRUSTED_PROXIES: '10.0.0.1' }),
    /needs DASHBOARD_OPERATORS:/
  )
  const env = { TRUSTED_PROXIES: '10.0.0.1', DASHBOARD_OPERATORS: 'a@b.c' }
  t.doesNotThrow(load({ ...env, DASHBOARD_TRUSTED_HEADER: 'x-user' }))
  for (const all of ['0.0.0.0/0', '::/0', '10.0.0.1,1.2.3.4/00']) {
    t.throws(
      load({ ...env, DASHBOARD_TRUSTED_HEADER: 'x-user', TRUSTED_PROXIES: all }),
      /anyone could name an operator/,
      all
    )
    t.doesNotThrow(
      load({ ...env, TRUSTED_PROXIES: all }),
      'without a header it tells addresses only'
    )
  }
})
