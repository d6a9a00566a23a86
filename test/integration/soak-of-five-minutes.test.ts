import t from 'tap'
import { runSoak } from '../soak/run-soak.ts'

t.setTimeout(900_000) // on a machine that may be busy: the other test files run beside it

t.test('five minutes of people who ask, with faults: nothing grows, is lost or odd', async (t) => {
  const findings = await runSoak({ seconds: 300, people: 5, crowd: 30, seed: 7 })
  const { requests, starved, processes, complaints } = findings
  t.ok(requests > 300, `${requests} requests, ${starved} without a core`)
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
})
