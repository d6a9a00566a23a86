import { createServer } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { EngineProcess, TEST_ENGINE, whyNoEngine } from '../helper/engine-process.ts'
import { freePort } from '../helper/free-port.ts'

t.test(
  'another program at its port is not taken for Valkey',
  { skip: whyNoEngine() },
  async (t) => {
    const engine = await EngineProcess.start(TEST_ENGINE)
    t.teardown(() => engine.destroy())
    await engine.stop()
    const other = createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    t.teardown(() => other.close())
    other.listen(engine.port, '127.0.0.1')
    await once(other, 'listening')
    await t.rejects(engine.start(), /ended \(1\)/)
  }
)

t.test('a free port stays free: the system gives it to nobody who asks for any', async (t) => {
  for (let n = 0; n < 20; n += 1) t.ok((await freePort()) < 32_768)
})
