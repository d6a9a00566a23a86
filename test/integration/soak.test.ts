import t from 'tap'
import { runSoak } from '../soak/run-soak.ts'

t.setTimeout(600_000) // on a machine that may be busy

t.test('forty seconds of people who ask, with faults: nothing grows, is lost or odd', async (t) => {
  const { requests, processes, complaints } = await runSoak({ seconds: 40, people: 8, seed: 7 })
  t.ok(requests > 40, `${requests} requests`)
  t.same(
    processes.map(({ name }) => name),
    ['primary', 'worker 1', 'worker 2']
  )
  t.ok(processes.every(({ samples }) => samples.length > 3))
  // How long a loop stood still says as much of the machine as of the gateway, in so short a time.
  t.same(
    complaints.filter((text) => !text.includes('stood still')),
    []
  )
})

t.test('everything that is left behind with requests is found', async (t) => {
  const leaks = ['memory', 'timers', 'listeners', 'sockets', 'stall', 'permits', 'counters']
  const { complaints } = await runSoak({ seconds: 25, people: 24, seed: 8, leaks })
  const found = complaints.join('\n')
  t.match(found, /worker \d: objects that are in use grow/)
  for (const what of ['timers', 'listeners', 'sockets'])
    t.match(found, new RegExp(`worker \\d: ${what} grow`))
  t.match(found, /worker \d: stood still for \d{3,} ms/)
  t.match(found, /^permits in use: [1-9]\d*, not 0$/m)
  t.match(found, /^requests counted: \d+, not \d+$/m)
})
