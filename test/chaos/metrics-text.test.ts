import t from 'tap'
import { parseMetrics } from './metrics-text.ts'

t.test('parseMetrics()', async (t) => {
  const scrape = parseMetrics(`# HELP kiro_gateway_pool_waiters Requests waiting for a permit.
# TYPE kiro_gateway_pool_waiters gauge
kiro_gateway_pool_waiters 12
kiro_gateway_pool_permits_leased{worker="1"} 5
kiro_gateway_pool_permits_leased{worker="leaving"} 2
kiro_gateway_pool_permits_leased{worker="leaving"} 1
kiro_gateway_pool_wait_seconds_sum 1.5e+3
`)
  t.equal(scrape.sum('pool_waiters'), 12)
  t.equal(scrape.sum('pool_permits_leased'), 8)
  t.equal(scrape.sum('pool_permits_leased', { worker: 'leaving' }), 3)
  t.equal(scrape.sum('pool_wait_seconds_sum'), 1500)
  t.equal(scrape.sum('pool'), 0)
  t.same(scrape.sumBy('pool_permits_leased', 'worker'), { '1': 5, leaving: 3 })
  t.same(scrape.sumBy('pool_waiters', 'worker'), {})
})
