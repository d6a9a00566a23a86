import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { play } from '../../src/simulator/player.ts'

t.test(
  'a write that fails before the connection is closed is a client that left, no bug',
  async (t) => {
    const client = new AbortController()
    let writes = 0
    const response = Object.assign(new EventEmitter(), {
      flushHeaders: () => {},
      write: (_piece: Buffer, done: (error: Error) => void) => {
        writes++
        done(new Error('write EPIPE'))
        setImmediate(() => client.abort())
      }
    }) as unknown as ServerResponse
    await play(
      {
        steps: [
          { type: 'event', name: 'assistantResponseEvent', payload: { content: 'hi' } },
          { type: 'pause', ms: 0 },
          { type: 'event', name: 'assistantResponseEvent', payload: { content: 'hi' } },
          { type: 'pause', ms: 0 }
        ],
        gapMs: 0
      },
      { response, signal: client.signal }
    )
    t.equal(writes, 1, 'and the rest is not sent')
  }
)

t.test('others have their turn although a fast client takes every write at once', async (t) => {
  let turns = 0
  const response = Object.assign(new EventEmitter(), {
    flushHeaders: () => {},
    end: () => {},
    write: (_piece: Buffer, done: () => void) => process.nextTick(done)
  }) as unknown as ServerResponse
  const payload = { content: 'x'.repeat(1000) }
  const steps = Array.from(
    { length: 500 },
    () => ({ type: 'event', name: 'assistantResponseEvent', payload }) as const
  )
  const played = play({ steps, gapMs: 0 }, { response, signal: new AbortController().signal })
  let isOver = false
  void played.then(() => (isOver = true))
  while (!isOver) {
    turns++
    await nextTurn()
  }
  t.ok(turns > 5, `${turns} turns`)
})
