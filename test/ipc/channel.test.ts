import { fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { join } from 'node:path'
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
  t.test('passes on messages with a type', async (t) => {
    const endpoint = new EventEmitter()
    const received: Message[] = []
    new Channel<Message, Message>(endpoint).onMessage((message) => received.push(message))
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
  })
  t.end()
})

t.test('news that wait are delivered in the order of their latest', async (t) => {
  const sent: Message[] = []
  const waiting: ((error: null) => void)[] = []
  const endpoint = Object.assign(new EventEmitter(), {
    send(message: Message, callback: (error: null) => void) {
      sent.push(message)
      waiting.push(callback)
      return true
    }
  })
  const channel = new Channel<Message, Message>(endpoint)
  for (let n = 0; n < 64; n++) channel.send({ type: 'a' })
  channel.send({ type: 'told.mark', value: 1 })
  channel.send({ type: 'keys.changed', value: 1 })
  channel.send({ type: 'told.mark', value: 2 })
  for (const delivered of waiting.splice(0)) delivered(null)
  t.same(sent.slice(64), [
    { type: 'keys.changed', value: 1 },
    { type: 'told.mark', value: 2 }
  ])
})

interface Told {
  readonly type: string
  readonly seq: number
}

t.test(
  'a process that hangs does not fill the memory of the one that tells it things',
  async (t) => {
    const folder = t.testdir({
      'child.cjs': `
      let reports = 0
      const answers = []
      process.on('message', ({ type, seq }) => {
        if (type === 'lease.report') reports++
        else answers.push(seq)
        if (type === 'lease.report' && seq === 9999) process.send({ type: 'told', reports, answers })
      })
      process.send({ type: 'ready' })`
    })
    const child = fork(join(folder, 'child.cjs'), { execArgv: [] })
    t.teardown(() => child.kill('SIGKILL'))
    await once(child, 'message')
    const channel = new Channel<Message, Told & { readonly pad: string }>(child)
    child.kill('SIGSTOP')
    const pad = 'x'.repeat(1000)
    for (let seq = 0; seq < 10_000; seq++) {
      if (seq % 1000 === 0) channel.send({ type: 'metrics.text', seq, pad })
      channel.send({ type: 'lease.report', seq, pad })
      if (seq % 100 === 0) await new Promise(setImmediate) // lets what is taken be taken
    }
    child.kill('SIGCONT')
    const [told] = (await once(child, 'message')) as [{ reports: number; answers: number[] }]
    t.ok(told.reports < 1000, `${told.reports} of 10000 reports, the last of them last`)
    t.same(told.answers, [0, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000])
  }
)
