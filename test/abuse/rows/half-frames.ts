import { setTimeout as delay } from 'node:timers/promises'
import type { AbuseRow } from '../row.ts'
import type { AbuseStand } from '../stand.ts'

const Streams = 300
const HalfFrameBytes = [60_000, 400_000]
/** One after the other, so that it is not the simulator that everybody waits for. */
const GapMs = 10
const SilenceMs = 5000

/** An upstream that sends most of a frame on every connection and then nothing must not fill a worker with halves. */
export const row: AbuseRow = {
  name: 'half-frames',
  what: `${Streams} streams of an upstream that sends ${HalfFrameBytes.join(', then ')} bytes of a longer frame each, then nothing`,
  settings: { HTTP_MAX_CONNECTIONS: String(Streams + 100) },
  async attack(stand) {
    const figures: string[] = []
    for (const bytes of HalfFrameBytes) {
      const silence = new AbortController()
      const streams: Promise<string>[] = []
      for (let count = 0; count < Streams; count++) {
        streams.push(waitFor(stand, bytes, silence.signal))
        await delay(GapMs)
      }
      await delay(SilenceMs)
      silence.abort()
      const ends = await Promise.all(streams)
      const refused = ends.filter((end) => end !== 'waited')
      const unknown = refused.find((end) => !/gw_memory_full|ECONNRESET/i.test(end))
      if (unknown !== undefined) throw new Error(unknown)
      figures.push(
        `${bytes} bytes: ${ends.length - refused.length} waited, ${refused.length} refused`
      )
      await delay(1000) // what they held is free
    }
    return figures.join('; ')
  }
}

/** `waited`, or what it was told instead. */
async function waitFor(
  { url, key }: AbuseStand,
  bytes: number,
  signal: AbortSignal
): Promise<string> {
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'claude-haiku-4.5',
        stream: true,
        messages: [{ role: 'user', content: `hi sim:events=2 sim:gap=0 sim:half-frame=${bytes}` }]
      }),
      signal
    })
    return (await response.text()).slice(-300)
  } catch (error) {
    return signal.aborted ? 'waited' : String(error)
  }
}
