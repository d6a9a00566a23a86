import { setTimeout as delay } from 'node:timers/promises'
import { Network } from '../../network.ts'
import { DOCTOR_LIMITS } from '../checks/checkup.ts'
import type { Asker } from './asker.ts'
import { type Probe, UNCLEAR } from './probe.ts'

const STEPS = [60, 120, 180, 240, 300]
const CALL_TIMEOUT_MS = 15_000

/** Tests how long an idle connection stays open: one connection per step, with free calls. */
export function idleProbe(seconds: number): Probe {
  const steps = [...STEPS.filter((step) => step < seconds), seconds]
  return {
    id: 'P6',
    question: `Does an idle connection stay open for ${seconds} s?`,
    answers: {
      kept: {
        means: `It stays open for at least ${seconds} s.`,
        change: `HTTP_KEEPALIVE_EXPIRY may be up to ${Math.max(1, Math.min(180, seconds))}; the first prompt after a pause then starts sooner.`
      },
      dropped: {
        means: `Something in between closes it within ${seconds} s; the requests below show when.`,
        change:
          'Set HTTP_KEEPALIVE_EXPIRY at least 60 s below that, or to 30 if it is less than two minutes.'
      },
      unclear: UNCLEAR
    },
    skip: () => null,
    async ask(asker) {
      const tries = await Promise.all(steps.map((step) => isKept(step, asker)))
      for (const [index, kept] of tries.entries()) {
        asker.note(
          `idle for ${steps[index]} s: ${kept === null ? 'not known' : kept ? 'kept' : 'dropped'}`
        )
      }
      if (tries.includes(false)) return 'dropped'
      return tries.includes(null) ? 'unclear' : 'kept'
    }
  }
}

async function isKept(seconds: number, { config, host, signal }: Asker): Promise<boolean | null> {
  await using network = new Network(config, DOCTOR_LIMITS)
  const request = {
    method: 'GET',
    url: `${new URL(host.url).origin}/`,
    headers: { 'user-agent': config.upstream.userAgent },
    timeoutMs: CALL_TIMEOUT_MS
  } as const
  try {
    await network.call(request, signal)
    await delay(seconds * 1000, undefined, { signal })
    await network.call(request, signal)
    return network.pool.stats().opened === 1
  } catch {
    signal.throwIfAborted()
    return null
  }
}
