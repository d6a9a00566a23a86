import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** What to do with what a gateway says to its engine. */
export type WireVerdict = 'pass' | 'drop' | 'hush'

/** More than any call has. */
const TAIL_CHARS = 262_144

/** The wire between one gateway and its engine: a test sees what goes to the engine, and may lose it, or the answers. */
export class EngineWire {
  url = ''
  /** Sees what was said since the engine's last answer; `drop`: the engine never hears it; `hush`: no more answers. */
  onSaid: (text: string) => WireVerdict = () => 'pass'
  /** Sees that the engine has answered, before that goes on; true: it does not. */
  onAnswer: () => boolean = () => false
  readonly #port: number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(enginePort: number) {
    this.#port = enginePort
    this.#server = createServer((gateway) => this.#wire(gateway))
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.url = `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return this
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #wire(gateway: Socket): void {
    const engine = connect(this.#port, '127.0.0.1')
    let said = ''
    let isHushed = false
    for (const [socket, other] of [
      [gateway, engine],
      [engine, gateway]
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
    gateway.on('data', (chunk) => {
      said = (said + chunk.toString('latin1')).slice(-TAIL_CHARS)
      const verdict = this.onSaid(said)
      if (verdict === 'hush') isHushed = true
      if (verdict !== 'pass') said = ''
      if (verdict !== 'drop') engine.write(chunk)
    })
    engine.on('data', (chunk) => {
      said = ''
      if (isHushed) {
        if (this.onAnswer()) return
        isHushed = false
      }
      gateway.write(chunk)
    })
  }
}
