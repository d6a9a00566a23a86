import t from 'tap'
import { skipByDay } from '../helper/nightly.ts'
import { runSoak } from '../soak/run-soak.ts'

t.setTimeout(1_200_000) // on a machine that may be busy

/** Of the soak in which nothing may be found. */
const SECONDS = 300

t.test(
  'people who ask, with faults: nothing grows, is lost or odd',
  { skip: skipByDay },
  async (t) => {
    const findings = await runSoak({ seconds: SECONDS, people: 5, crowd: 30, seed: 7 })
    const { requests, starved, processes, complaints } = findings
    t.ok(requests > SECONDS, `${requests} requests, ${starved} without a core`)
    t.same(
      processes.map(({ name }) => name),
      ['primary', 'worker 1', 'worker 2']
    )
    for (const { name, samples } of processes) {
      t.ok(samples.length >= 8, `${name} was looked at ${samples.length} times`)
      // A rush is more than one takes: both have been asked.
      if (name !== 'primary') t.ok((samples.at(-1)?.requests ?? 0) > 10, `${name} was asked`)
    }
    // A page of memory, or a disk, that a busy machine lets wait for as long is no fault of the gateway's.
    t.same(
      complaints.filter((text) => !text.includes('stood still')),
      []
    )
  }
)

// By day test/soak/judge.test.ts has all of this in figures.
t.test('everything that is left behind with requests is found', { skip: skipByDay }, async (t) => {
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
