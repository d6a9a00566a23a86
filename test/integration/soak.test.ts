import t from 'tap'
import { runSoak } from '../soak/run-soak.ts'

t.setTimeout(600_000) // on a machine that may be busy

t.test('everything that is left behind with requests is found', async (t) => {
  const leaks = ['memory', 'timers', 'listeners', 'sockets', 'stall', 'permits', 'counters']
  const { complaints } = await runSoak({ seconds: 25, people: 24, crowd: 24, seed: 8, leaks })
  const found = complaints.join('\n')
  t.match(found, /worker \d: objects that are in use grow/)
  for (const what of ['timers', 'listeners', 'sockets'])
    t.match(found, new RegExp(`worker \\d: ${what} grow`))
  t.match(found, /worker \d: stood still for \d{3,} ms/)
  t.match(found, /^permits in use: [1-9]\d*, not 0$/m)
  t.match(found, /^requests counted: \d+, not \d+$/m)
})
