import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'

export type RecordType = 'A' | 'AAAA' | 'other'

/** What a server says of a name; `silent` is no answer at all, a list holds addresses and may be empty. */
export type NameReply = 'silent' | 'no such name' | 'failure' | readonly string[]

const TYPES: Readonly<Record<number, RecordType>> = { 1: 'A', 28: 'AAAA' }
const HEADER_BYTES = 12

/** A real name server on loopback, which answers as it is told and remembers what it was asked. */
export class NameServer {
  /** `address:port`, as `DNS_SERVERS` takes it. */
  readonly address: string
  /** Every question with its repetitions, as `A some.name`. */
  readonly questions: string[] = []
  reply: (name: string, type: RecordType) => NameReply
  ttlS = 60
  readonly #socket: Socket
  readonly #onQuestion = new Set<() => void>()

  private constructor(socket: Socket, reply: NameServer['reply']) {
    this.#socket = socket
    this.reply = reply
    const { address, port } = socket.address()
    this.address = `${address}:${port}`
    socket.on('message', (message, peer) => this.#answer(message, peer))
  }

  static async start(
    t: { teardown(close: () => unknown): void },
    reply: NameServer['reply'] = () => 'silent',
    { address, port } = { address: '127.0.0.1', port: 0 }
  ): Promise<NameServer> {
    const socket = createSocket('udp4').bind(port, address)
    await once(socket, 'listening')
    t.teardown(() => socket.close())
    return new NameServer(socket, reply)
  }

  /** Resolves when it was asked for this name; counts the questions from `from` on. */
  async asked(name: string, from = 0): Promise<void> {
    while (!this.questions.slice(from).some((question) => question.endsWith(` ${name}`))) {
      await new Promise<void>((resolve) => this.#onQuestion.add(resolve))
    }
  }

  #answer(message: Buffer, { port, address }: RemoteInfo): void {
    const { name, type, end } = questionOf(message)
    this.questions.push(`${type} ${name}`)
    for (const resolve of this.#onQuestion) resolve()
    this.#onQuestion.clear()
    const reply = this.reply(name, type)
    if (reply === 'silent') return
    const addresses = typeof reply === 'string' ? [] : reply
    const header = Buffer.from(message.subarray(0, HEADER_BYTES))
    header.writeUInt16BE(0x8180 | (reply === 'no such name' ? 3 : reply === 'failure' ? 2 : 0), 2)
    header.writeUInt16BE(addresses.length, 6)
    header.writeUInt16BE(0, 8)
    header.writeUInt16BE(0, 10) // none of the question's own extensions
    const records = addresses.map((one) => this.#record(one))
    this.#socket.send(
      Buffer.concat([header, message.subarray(HEADER_BYTES, end), ...records]),
      port,
      address
    )
  }

  #record(address: string): Buffer {
    const content = toBytes(address)
    const head = Buffer.alloc(12)
    head.writeUInt16BE(0xc000 | HEADER_BYTES, 0) // the name is the question's
    head.writeUInt16BE(content.length === 4 ? 1 : 28, 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt32BE(this.ttlS, 6)
    head.writeUInt16BE(content.length, 10)
    return Buffer.concat([head, content])
  }
}

function questionOf(message: Buffer) {
  const labels: string[] = []
  let at = HEADER_BYTES
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  const type = TYPES[message.readUInt16BE(at + 1)] ?? 'other'
  return { name: labels.join('.').toLowerCase(), type, end: at + 5 }
}

/** IPv6 addresses with all their groups only. */
function toBytes(address: string): Buffer {
  if (address.includes('.')) return Buffer.from(address.split('.').map(Number))
  const groups = address.split(':').map((group) => group.padStart(4, '0'))
  return Buffer.from(groups.join(''), 'hex')
}
