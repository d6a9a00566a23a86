import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import t from 'tap'
import { whenWritable } from '../../src/reply/when-writable.ts'

function response(writableNeedDrain: boolean): ServerResponse & EventEmitter {
  return Object.assign(new EventEmitter(), { writableNeedDrain }) as ServerResponse & EventEmitter
}

t.test('whenWritable()', async (t) => {
  t.test('resolves at once while the client reads along', async (t) => {
    await whenWritable(response(false), new AbortController().signal)
    t.pass()
  })

  t.test('waits for a client that reads slowly', async (t) => {
    const slow = response(true)
    let isWritable = false
    const wait = whenWritable(slow, new AbortController().signal).then(() => (isWritable = true))
    await new Promise(setImmediate)
    t.equal(isWritable, false)
    slow.emit('drain')
    await wait
    t.equal(slow.listenerCount('drain'), 0)
  })

  t.test('ends with the signal, and leaves no listener', async (t) => {
    const slow = response(true)
    const abort = new AbortController()
    const wait = whenWritable(slow, abort.signal)
    abort.abort(new Error('gone'))
    await t.rejects(wait, /gone/)
    t.equal(slow.listenerCount('drain'), 0)
    await t.rejects(whenWritable(response(false), abort.signal), /gone/)
  })
})
