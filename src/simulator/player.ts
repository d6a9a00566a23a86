import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { encodeStep } from './answer.ts'
import type { Step } from './script.ts'

/** A write of this size is sent before the next is built, so that others get their turn. */
const BATCH_BYTES = 64 * 1024

export interface Performance {
  readonly steps: Iterable<Step>
  /** Ms between two frames; 0 sends everything in one write. */
  readonly gapMs: number
}

export interface Stage {
  readonly response: ServerResponse
  readonly signal: AbortSignal
}

/** Plays a script at the client's pace. Resolves when the answer has ended as the script wants, or the client left. */
export async function play(performance: Performance, stage: Stage): Promise<void> {
  try {
    await perform(performance, stage)
  } catch (error) {
    if (!stage.signal.aborted) throw error
  }
}

async function perform({ steps, gapMs }: Performance, { response, signal }: Stage): Promise<void> {
  let batch: Buffer[] = []
  let batchBytes = 0
  const pause = async (ms: number): Promise<void> => {
    const [first, ...others] = batch
    batch = []
    batchBytes = 0
    if (first === undefined) response.flushHeaders()
    // One frame is not copied.
    else
      await write(response, others.length === 0 ? first : Buffer.concat([first, ...others]), signal)
    if (ms > 0) await delay(ms, undefined, { signal })
  }
  for (const step of steps) {
    switch (step.type) {
      case 'pause':
        await pause(step.ms)
        continue
      case 'stall':
      case 'reset':
      case 'fin':
        await pause(0)
        if (step.type === 'reset') response.socket?.resetAndDestroy()
        if (step.type === 'fin') response.socket?.end()
        await once(signal, 'abort')
        return
      case 'event':
      case 'exception':
      case 'bytes':
        break
    }
    const bytes = encodeStep(step)
    batch.push(bytes)
    batchBytes += bytes.length
    if (gapMs > 0) await pause(gapMs)
    else if (batchBytes >= BATCH_BYTES) {
      await pause(0)
      await nextTurn() // a fast client takes every write at once and would leave no turn to others
    }
  }
  response.end(Buffer.concat(batch))
}

/** Resolves when the socket has taken the bytes. Rejects when the client has left. */
async function write(response: ServerResponse, bytes: Buffer, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const { promise, resolve } = Promise.withResolvers<boolean>()
  response.write(bytes, (error) => resolve(!error))
  const isWritten = await promise
  // A write fails only with the connection, perhaps before the signal fires.
  if (!isWritten && !signal.aborted) await once(signal, 'abort')
  signal.throwIfAborted()
}
