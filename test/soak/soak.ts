import { parseArgs } from 'node:util'
import { MOST_MB_PER_HOUR, slopeOf, warmSamples } from './judge.ts'
import { runSoak } from './run-soak.ts'

/** `npm run soak -- --minutes 60 --people 12 --crowd 36 --seed 1`: exits with 1 if anything grows, is lost, stands still or does not add up. */

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    people: { type: 'string', default: '12' },
    crowd: { type: 'string', default: '36' }, // more than one worker takes alone
    seed: { type: 'string', default: '1' }
  }
})
const ended = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ended.abort())
const { requests, starved, processes, complaints } = await runSoak({
  seconds: Number(values.minutes) * 60,
  people: Number(values.people),
  crowd: Number(values.crowd),
  seed: Number(values.seed),
  signal: ended.signal,
  onProgress: (line) => void process.stderr.write(`soak ${line}\n`)
})
process.stdout.write(`${requests} requests, ${starved} of them without a core for too long\n`)
for (const { name, samples } of processes) {
  const warm = warmSamples(samples)
  const said = (['liveBytes', 'anonymousBytes'] as const).map((what) => {
    const { mbPerHour, error } = slopeOf(warm, what)
    return `${mbPerHour.toFixed(2)} ± ${error.toFixed(2)}`
  })
  process.stdout.write(
    `${name}: in use ${said[0]} MB/h, all ${said[1]} MB/h (≤ ${MOST_MB_PER_HOUR}); ${warm.length} samples\n`
  )
}
process.stdout.write(
  complaints.length === 0 ? 'nothing to complain of\n' : `${complaints.join('\n')}\n`
)
process.exitCode = complaints.length === 0 ? 0 : 1
