import { EventEmitter } from 'node:events'
import t from 'tap'
import { Channel } from '../../src/ipc/channel.ts'

interface Message {
  readonly type: string
  readonly value?: number
}

t.test('Channel', (t) => {
  t.test('sends what it is given, with a callback that swallows a closed channel', async (t) => {
    const sent: object[] = []
    const endpoint = Object.assign(new EventEmitter(), {
      send(message: object, callback: (error: Error | null) => void) {
        sent.push(message)
        callback(new Error('channel closed'))
        return false
      }
    })
    new Channel<Message, Message>(endpoint).send({ type: 'a', value: 1 })
    t.same(sent, [{ type: 'a', value: 1 }])
  })
  t.test('sends nothing where there is nobody', async () => {
    new Channel<Message, Message>(new EventEmitter()).send({ type: 'a' })
  })
  t.test('passes on messages with a type until it is told to stop', async (t) => {
    const endpoint = new EventEmitter()
    const received: Message[] = []
    const stop = new Channel<Message, Message>(endpoint).onMessage((message) => {
      received.push(message)
    })
    for (const message of [
      { type: 'a' },
      null,
      undefined,
      'text',
      7,
      {},
      { cmd: 'NODE_x' },
      { type: 'b' }
    ]) {
      endpoint.emit('message', message)
    }
    t.same(received, [{ type: 'a' }, { type: 'b' }])
    stop()
    endpoint.emit('message', { type: 'c' })
    t.equal(received.length, 2)
    t.equal(endpoint.listenerCount('message'), 0)
  })
  t.end()
})
