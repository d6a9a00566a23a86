import type { CpuCase } from './cpu.ts'

/** Streams that begin together, each on a new connection, as an agent starts its helpers. */
export const burstCase: CpuCase = {
  name: 'burst',
  what: 'CPU per streamed answer, 60 that begin together',
  must: { times: 1.1 },
  script: { events: 40, gapMs: 20, firstMs: 0 },
  conversation: 'short',
  streams: 60,
  warmUp: 2000,
  rounds: 7,
  requests: 60,
  isFresh: true
}
