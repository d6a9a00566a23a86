import { Server, Socket, type TcpNetConnectOpts } from 'node:net'
import type { Actor, World } from './world.ts'

/** What the kernel holds of one direction before a write has to wait. */
const WINDOW_BYTES = 64 * 1024
/** After so long a silence a peer that has vanished is noticed, if the socket asked for that. */
const PROBES_MS = 10_000
/** Bytes of one write that arrive one at a time, where they do; each is an event, so that few writes are cut like this. */
const MOST_ALONE = 48
const ALONE_PART = 0.2
/** So long what has come is gathered, where several writes arrive at once, ms. */
const GATHERED_MS = 3
/** Between two looks at who accepts, while all stand still. */
const BACKLOG_MS = 20
/** For FIN-WAIT-2 of a process that is gone. */
const ORPHAN_MS = 60_000
/** A reset has overtaken what is sent so much later, ms. */
const NEWS_MS = 10

/** How one connection behaves. */
export interface LinkNature {
  /** One way, ms. */
  readonly latencyMs: number
  /** Up to so much more for each arrival, ms; bytes stay in order. */
  readonly jitterMs: number
  /**
   * Bytes of one arrival: as written, those of several writes at once, pieces of random size, or those and the first ones
   * of some writes one at a time.
   */
  readonly pieces: 'whole' | 'joined' | 'one' | 'random'
}

export interface NetworkOptions {
  /** Asked for each new connection. */
  readonly natureOf: (port: number) => LinkNature
  /** Whether this process can connect to this port now; `null` leaves it without an answer. */
  readonly reach: (port: number, from: Actor) => 'open' | 'refused' | null
}

/** All TCP of a world: who listens, and every connection that there is. */
export class Network {
  readonly world: World
  readonly options: NetworkOptions
  /** By port. Several may listen on one: the seed picks who accepts. */
  readonly #listeners = new Map<number, Set<Listening>>()
  readonly links = new Set<Link>()
  /** Called for each connection that the kernel behind a port gets. */
  onConnection: (port: number) => void = () => {}
  /** Called for what a client writes, before it travels. */
  onSent: (link: Link, bytes: Buffer) => void = () => {}
  /** Called for what a client begins to write after it has read that the server will send no more. */
  onSentAfterEnd: (link: Link, bytes: Buffer) => void = () => {}
  /** Called for a connection that is refused, or whose first packet is lost. */
  onUnreachable: (link: Link) => void = () => {}
  /** Called for a connection on which nothing arrives any more. */
  onVanished: (link: Link) => void = () => {}
  #nextPort = 40_000

  constructor(world: World, options: NetworkOptions) {
    this.world = world
    this.options = options
  }

  listen(port: number, server: Server): Listening {
    const chosen = port === 0 ? this.nextPort() : port
    const listening = { port: chosen, server, actor: this.world.actor }
    const all = this.#listeners.get(chosen) ?? new Set()
    this.#listeners.set(chosen, all.add(listening))
    listening.actor.onGone.add(() => this.unlisten(listening))
    return listening
  }

  unlisten(listening: Listening): void {
    const all = this.#listeners.get(listening.port)
    all?.delete(listening)
    if (all?.size === 0) this.#listeners.delete(listening.port)
  }

  listenersAt(port: number): readonly Listening[] {
    return [...(this.#listeners.get(port) ?? [])]
  }

  nextPort(): number {
    this.#nextPort = this.#nextPort >= 60_000 ? 40_000 : this.#nextPort + 1
    return this.#nextPort
  }

  /** Connections that the kernel behind a port has, but for those whose other end cannot be heard any more. */
  openAt(port: number): number {
    let open = 0
    for (const link of this.links) if (link.port === port && link.isCounted) open += 1
    return open
  }

  /** Those of them that this process has opened, and has not closed so long ago that the other end knows of it. */
  openOf(process: Actor, port: number): number {
    const since = this.world.now - NEWS_MS
    let open = 0
    for (const { client, port: to, isCounted } of this.links)
      if (client.actor === process && to === port && isCounted && client.goneAt > since) open += 1
    return open
  }

  /** The kernel's table, with the connections that no process has open any more (`src/shared/socket-table.ts`). */
  table(): string {
    const lines = ['  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt']
    for (const { client, port, isOrphan } of this.links) {
      if (!isOrphan) continue
      const ends = `0100007F:${hex(client.localPort)} 0100007F:${hex(port)}`
      const rest = `00:00000000 00000000     0        0 0 1 0`
      lines.push(`   0: ${ends} 05 00000000:00000000 ${rest}`)
    }
    return `${lines.join('\n')}\n`
  }
}

export interface Listening {
  readonly port: number
  readonly server: Server
  readonly actor: Actor
}

function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0')
}

/** One TCP connection, from the first packet until both sides have forgotten it. */
export class Link {
  readonly network: Network
  readonly nature: LinkNature
  readonly port: number
  readonly client: WorldSocket
  server: WorldSocket | null = null
  /** Nothing arrives any more, in either direction, and nobody is told. */
  isVanished = false
  /** The client has seen the server's answer to its first packet. */
  isEstablished = false
  /** The server's kernel has it, whether its process has accepted it or not. */
  isAtServer = false
  /** It will never be accepted: nobody listens any more, or it was reset before. */
  isDropped = false
  /** What has come before the server accepted. */
  readonly early: Packet[] = []
  /** The client's process is gone, and the server has not let go of the connection. */
  isOrphan = false

  constructor(network: Network, client: WorldSocket, port: number) {
    this.network = network
    this.client = client
    this.port = port
    this.nature = network.options.natureOf(port)
    network.links.add(this)
  }

  /** Packets are lost from now on; keep-alive probes find out later. */
  vanish(): void {
    this.isVanished = true
    this.network.onVanished(this)
    for (const end of [this.client, this.server]) end?.probe()
  }

  /** Something on the way cuts the connection: both sides get a reset. */
  cut(): void {
    this.dropIfWaiting()
    for (const end of [this.client, this.server]) this.#reset(end)
  }

  /** The server's kernel forgets it if no process has accepted it. */
  dropIfWaiting(): void {
    if (this.server === null) this.isDropped = true
  }

  /** The server's end is lost without a word, as when a router forgets it: the client hears of it when it writes. */
  halve(): void {
    this.#reset(this.server)
  }

  /** The kernel hears of it also while the process stands still. */
  #reset(end: WorldSocket | null): void {
    const { world } = this.network
    if (end !== null) world.after(0, () => end.onReset(), { actor: world.nature })
  }

  /** Open at both ends, and nothing of either is under way. */
  get isQuiet(): boolean {
    const { client, server, isVanished } = this
    if (server === null || isVanished || client.isGone || server.isGone) return false
    return client.isQuiet && server.isQuiet && !client.writableEnded && !server.writableEnded
  }

  /** The server's kernel has it, and both ends can hear of each other. */
  get isCounted(): boolean {
    const { server, isAtServer, isVanished, isDropped } = this
    if (!isAtServer || isVanished || isDropped) return false
    return server === null || (!server.isGone && !server.isCutOff)
  }

  peerOf(end: WorldSocket): WorldSocket | null {
    return end === this.client ? this.server : this.client
  }

  delayMs(): number {
    const { latencyMs, jitterMs } = this.nature
    return latencyMs + this.network.world.random() * jitterMs
  }

  forgetIfOver(): void {
    const { client, server, network, isEstablished, isDropped, isVanished } = this
    if (server?.isGone === true) this.isOrphan = false
    const isServerGone = server?.isGone ?? (!isEstablished || isDropped || isVanished)
    if (client.isGone && isServerGone) network.links.delete(this)
  }
}

/** What travels, in order. */
type Packet = { readonly type: 'bytes'; readonly bytes: Buffer } | { readonly type: 'fin' }

/**
 * A socket of the world. Node's own class, so that all that looks at sockets finds one; only the handle below it, which
 * would be the kernel's, is missing: reading, writing and closing go to the link instead.
 */
export class WorldSocket extends Socket {
  readonly actor: Actor
  readonly #network: Network
  #link: Link | null = null
  // Node's class sets these itself.
  declare connecting: boolean
  declare timeout: number
  override localPort: number
  override remotePort: number | undefined = undefined
  readonly #host = '127.0.0.1'
  /** Arrived, and not read by the process. */
  readonly #arrived: Packet[] = []
  #isReading = false
  #isDelivering = false
  /** Bytes that the peer has not read. */
  #unread = 0
  /** A write that waits for room. */
  #waiting: { readonly bytes: Buffer; readonly done: () => void } | null = null
  #dispatched = 0
  #received = 0
  #lastArrivalAt = 0
  #isFinSent = false
  /** Virtual ms at which the process read that the peer will send no more. */
  #endedAt = Infinity
  #isReset = false
  #willReset = false
  #keepAliveMs: number | null = null
  #idle: { readonly timer: NodeJS.Timeout; readonly ms: number } | null = null
  /** The kernel has nothing of it any more. */
  isGone = false
  /** Virtual ms of that. */
  goneAt = Infinity
  /** Number of the question that it is for, at the end of whoever asks; `null` while none is known. */
  carries: number | null = null
  /** What it carried when it was hit, or its worker, for the first time; `null` before. */
  hitWith: { readonly carries: number | null } | null = null
  /** What was sent last is a refresh token. */
  carriesRenewal = false

  constructor(network: Network, { allowHalfOpen = false, localPort = network.nextPort() } = {}) {
    super({ allowHalfOpen })
    this.#network = network
    this.actor = network.world.actor
    this.localPort = localPort
    this.actor.onGone.add(this.#onActorGone)
    // Node's class takes these from its handle.
    Object.defineProperties(this, {
      bytesRead: { get: () => this.#received },
      bytesWritten: { get: () => this.#dispatched + this.#notYetWritten() },
      pending: { get: () => this.connecting },
      remoteAddress: { value: this.#host },
      remoteFamily: { value: 'IPv4' },
      localAddress: { value: this.#host }
    })
  }

  /** The two ends do not hear of each other any more, or the kernel has no connection any more. */
  get isCutOff(): boolean {
    return this.#isReset || this.#link?.isVanished === true
  }

  /** Everything that was sent has been read by the peer's process, and this process has read all that has come. */
  get isQuiet(): boolean {
    return this.#unread === 0 && this.readableLength === 0
  }

  #notYetWritten(): number {
    return Math.max(0, this.writableLength - (this.#waiting?.bytes.length ?? 0))
  }

  /** Connects, as `net.connect()` does. */
  connectTo({ host = '127.0.0.1', port, lookup }: TcpNetConnectOpts): this {
    const { world } = this.#network
    this.connecting = true
    this.remotePort = port
    const begin = (): void => {
      if (!this.destroyed) this.#sendSyn(port)
    }
    if (lookup === undefined) {
      process.nextTick(begin)
      return this
    }
    lookup(host, { all: true }, (error) => {
      if (error === null) world.after(0, begin)
      else this.destroy(error)
    })
    return this
  }

  /** SYN, SYN-ACK, ACK: the server accepts when the last of them arrives. */
  #sendSyn(port: number): void {
    const { world, options } = this.#network
    const link = new Link(this.#network, this, port)
    this.#link = link
    world.note(`:${this.localPort} connects to ${port}`)
    const inNature = { actor: world.nature }
    world.after(
      link.delayMs(),
      () => {
        const [listeners, reach] = [
          this.#network.listenersAt(port),
          options.reach(port, this.actor)
        ]
        if (reach === null || listeners.length === 0 || reach === 'refused')
          this.#network.onUnreachable(link)
        if (reach === null || link.isVanished || link.isDropped) return
        const backMs = link.delayMs()
        if (reach === 'refused' || listeners.length === 0)
          return void world.after(backMs, () => this.#onRefused(), { actor: this.actor })
        world.after(backMs, () => this.#onSynAck(link), inNature)
      },
      inNature
    )
  }

  #onSynAck(link: Link): void {
    const { world } = this.#network
    if (this.isGone || link.isVanished || link.isDropped) return link.forgetIfOver()
    link.isEstablished = true
    const arrivesIn = link.delayMs()
    this.#lastArrivalAt = world.now + arrivesIn
    world.after(arrivesIn, () => this.#onAck(link), { actor: world.nature })
    world.after(0, () => this.#onConnected(), { actor: this.actor })
  }

  #onAck(link: Link): void {
    if (link.isVanished || link.isDropped) return
    link.isAtServer = true
    this.#network.onConnection(link.port)
    this.#queueForAccept(link)
  }

  /** The listening socket is shared: whoever of those that listen is awake takes what waits there. */
  #queueForAccept(link: Link): void {
    if (link.isDropped) return
    const { world } = this.#network
    const listeners = this.#network.listenersAt(link.port)
    if (listeners.length === 0) return this.#onNobody(link)
    const awake = listeners.filter(({ actor }) => !actor.isPaused)
    if (awake.length === 0)
      return void world.after(BACKLOG_MS, () => this.#queueForAccept(link), { actor: world.nature })
    const { server, actor } = world.pick(awake)
    world.as(actor, () => this.#beAccepted(link, server))
  }

  #onNobody(link: Link): void {
    link.isDropped = true
    this.#network.onUnreachable(link)
    this.#network.world.after(link.delayMs(), () => this.onReset(), { actor: this.actor })
    link.forgetIfOver()
  }

  #beAccepted(link: Link, server: Server): void {
    if (link.isVanished) return
    const allowHalfOpen = Reflect.get(server, 'allowHalfOpen') === true
    const end = new WorldSocket(this.#network, { allowHalfOpen, localPort: link.port })
    link.server = end
    end.#link = link
    end.remotePort = this.localPort
    Object.assign(end, { server, _server: server })
    Reflect.set(server, '_connections', Number(Reflect.get(server, '_connections')) + 1)
    server.emit('connection', end)
    end.read(0)
    for (const packet of link.early.splice(0)) end.#onPacket(packet)
  }

  /** There is a reset instead of the answer to the first packet. */
  #onRefused(): void {
    if (this.destroyed) return
    const message = `connect ECONNREFUSED ${this.#host}:${this.remotePort}`
    this.destroy(Object.assign(new Error(message), { code: 'ECONNREFUSED', syscall: 'connect' }))
  }

  #onConnected(): void {
    if (this.destroyed || this.isGone) return
    this.connecting = false
    this.emit('connect')
    this.emit('ready')
    if (!this.isPaused()) this.read(0)
  }

  // Reading

  override _read(): void {
    this.#whenConnected(() => this.#startReading())
  }

  #whenConnected(act: () => void): void {
    if (this.connecting) this.once('connect', act)
    else act()
  }

  #startReading(): void {
    if (this.#isReset) return this.#fail('read ECONNRESET')
    this.#isReading = true
    if (this.#arrived.length > 0) this.#deliverSoon()
  }

  #deliverSoon(delayMs = 0): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    this.#network.world.after(
      delayMs,
      () => {
        this.#isDelivering = false
        this.#deliver()
      },
      { actor: this.actor }
    )
  }

  #deliver(): void {
    while (this.#isReading && !this.destroyed) {
      const packet = this.#takeArrived()
      if (packet === undefined) return
      this.#touch()
      if (packet.type === 'fin') {
        this.#endedAt = this.#network.world.now
        this.push(null)
        this.read(0)
        return
      }
      const { bytes } = packet
      this.#received += bytes.length
      this.#isReading = this.push(bytes)
      this.#acknowledge(bytes.length)
    }
  }

  get #isJoined(): boolean {
    return this.#link?.nature.pieces === 'joined'
  }

  /** The next packet, with all that directly follows it if what comes is gathered. */
  #takeArrived(): Packet | undefined {
    const first = this.#arrived.shift()
    if (first?.type !== 'bytes' || !this.#isJoined) return first
    const parts = [first.bytes]
    for (let next = this.#arrived[0]; next?.type === 'bytes'; next = this.#arrived[0]) {
      parts.push(next.bytes)
      this.#arrived.shift()
    }
    return { type: 'bytes', bytes: Buffer.concat(parts) }
  }

  #acknowledge(bytes: number): void {
    const link = this.#link
    const peer = link?.peerOf(this)
    if (link === null || link.isVanished || peer === null || peer === undefined) return
    const { world } = this.#network
    peer.#unread -= bytes
    if (peer.#waiting === null) return
    world.after(link.delayMs(), () => peer.#sendWaiting(), { actor: peer.actor })
  }

  #onPacket(packet: Packet): void {
    if (this.isGone || this.#isReset) return this.#answerWithReset()
    this.#arrived.push(packet)
    if (!this.#isReading) return
    if (this.#isJoined) this.#deliverSoon(this.#network.world.random() * GATHERED_MS)
    else if (this.actor.standsStill) this.#deliverSoon()
    else this.actor.enter(() => this.#deliver())
  }

  /** The process has closed it, or has not yet looked at one that was reset: the kernel refuses what still comes. */
  #answerWithReset(): void {
    if (this.#link !== null && !this.#link.isVanished) this.#sendReset(this.#link)
  }

  // Writing

  override _write(
    chunk: Buffer | string,
    encoding: BufferEncoding,
    done: (error?: Error) => void
  ): void {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : Buffer.from(chunk)
    this.#whenConnected(() => this.#write(bytes, done))
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer | string; readonly encoding: BufferEncoding }[],
    done: (error?: Error) => void
  ): void {
    const all = chunks.map(({ chunk, encoding }) =>
      typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
    )
    this.#whenConnected(() => this.#write(Buffer.concat(all), done))
  }

  override _final(done: (error?: Error) => void): void {
    this.#whenConnected(() => {
      this.#sendFin()
      this.#network.world.after(0, () => done(), { actor: this.actor })
    })
  }

  #write(bytes: Buffer, done: (error?: Error) => void): void {
    if (this.#isReset || this.isGone) return done(resetError('write ECONNRESET'))
    this.#dispatched += bytes.length
    this.#touch()
    if (this.#unread >= WINDOW_BYTES) this.#waiting = { bytes, done }
    else {
      this.#send(bytes)
      done()
    }
  }

  #sendWaiting(): void {
    const waiting = this.#waiting
    if (waiting === null || this.#unread >= WINDOW_BYTES || this.destroyed) return
    this.#waiting = null
    this.#send(waiting.bytes)
    this.#touch()
    waiting.done()
  }

  #send(bytes: Buffer): void {
    this.#unread += bytes.length
    if (this.#link?.client === this) {
      this.#network.onSent(this.#link, bytes)
      if (this.#network.world.now > this.#endedAt) this.#network.onSentAfterEnd(this.#link, bytes)
    }
    for (const piece of this.#piecesOf(bytes)) this.#travel({ type: 'bytes', bytes: piece })
  }

  #sendFin(): void {
    if (this.#isFinSent) return
    this.#isFinSent = true
    this.#travel({ type: 'fin' })
  }

  *#piecesOf(bytes: Buffer): Generator<Buffer> {
    const pieces = this.#link?.nature.pieces ?? 'whole'
    if (pieces === 'whole' || pieces === 'joined') return yield bytes
    const { random } = this.#network.world
    const mostAlone = pieces === 'one' && random() < ALONE_PART ? MOST_ALONE : 0
    for (let from = 0; from < bytes.length; ) {
      const size = from < mostAlone ? 1 : 1 + Math.floor(random() * bytes.length)
      yield bytes.subarray(from, from + size)
      from += size
    }
  }

  /**
   * Bytes of one direction never overtake each other. They arrive at a kernel, also while its process stands still, or is
   * gone: it answers them with a reset then, as it resets what it has to close with unread bytes, and so frees a peer that
   * waits for room.
   */
  #travel(packet: Packet): void {
    const link = this.#link
    if (link === null || link.isVanished) return
    const { world } = this.#network
    this.#lastArrivalAt = Math.max(this.#lastArrivalAt, world.now + link.delayMs())
    world.after(
      this.#lastArrivalAt - world.now,
      () => {
        const peer = link.peerOf(this)
        if (link.isVanished || link.isDropped) return
        if (peer === null) link.early.push(packet)
        else if (!peer.isGone) peer.#onPacket(packet)
        else if (packet.type === 'bytes') peer.#answerWithReset()
        else link.forgetIfOver()
      },
      { actor: world.nature }
    )
  }

  // Ends

  /** The peer, or something on the way, has reset the connection: the kernel knows at once, the process when it acts again. */
  onReset(): void {
    if (this.isGone || this.#isReset) return
    this.#isReset = true
    this.#arrived.length = 0
    this.#network.world.after(
      0,
      () => {
        if (this.connecting) this.#onRefused()
        else if (this.#isReading || this.#waiting !== null) this.#fail('read ECONNRESET')
      },
      { actor: this.actor }
    )
  }

  #fail(message: string): void {
    if (!this.destroyed) this.destroy(resetError(message))
  }

  override resetAndDestroy(): this {
    if (this.connecting) {
      this.once('connect', () => this.resetAndDestroy())
      return this
    }
    this.#willReset = true
    return this.destroy()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const { world } = this.#network
    this.connecting = false
    this.setTimeout(0)
    this.#leave()
    this.#waiting = null
    done(error)
    world.after(
      0,
      () => {
        this.emit('close', error !== null)
        this.#tellServer()
      },
      { actor: this.actor }
    )
  }

  /** The kernel closes it: with a FIN, or with a reset if something was not read, or the process wants one. */
  #leave(): void {
    if (this.isGone) return
    const link = this.#link
    const hasUnread = this.#arrived.some(({ type }) => type === 'bytes')
    const isReset = this.#willReset || hasUnread
    if (!isReset && !this.#isReset && (link?.isEstablished ?? false)) this.#sendFin()
    this.isGone = true
    this.goneAt = this.#network.world.now
    if (link?.client === this)
      this.#network.world.note(`:${this.localPort} is ${isReset ? 'reset' : 'closed'}`, this.actor)
    this.actor.onGone.delete(this.#onActorGone)
    if (link === null) return
    if (isReset) this.#sendReset(link)
    link.forgetIfOver()
  }

  #sendReset(link: Link): void {
    const { world } = this.#network
    const arrivesIn = Math.max(link.delayMs(), this.#lastArrivalAt - world.now)
    world.after(
      arrivesIn,
      () => {
        if (link.isVanished) return
        link.dropIfWaiting()
        link.peerOf(this)?.onReset()
        link.forgetIfOver()
      },
      { actor: world.nature }
    )
  }

  /** The process is gone: the kernel closes what it had open, and remembers it until the peer has closed it, too. */
  readonly #onActorGone = (): void => {
    const link = this.#link
    const hadUnread = this.#arrived.some(({ type }) => type === 'bytes')
    this.#leave()
    if (link === null || link.client !== this || !link.isEstablished || hadUnread) return
    if (link.server?.isGone === true) return
    link.isOrphan = true
    const { world } = this.#network
    world.after(ORPHAN_MS, () => (link.isOrphan = false), { actor: world.nature })
  }

  #tellServer(): void {
    const server: unknown = Reflect.get(this, '_server')
    this.#link?.forgetIfOver()
    if (!(server instanceof Server)) return
    Reflect.set(server, '_connections', Number(Reflect.get(server, '_connections')) - 1)
    Reflect.apply(Reflect.get(server, '_emitCloseIfDrained') as () => void, server, [])
  }

  /** Finds that the peer has vanished, if the socket asked for that. */
  probe(): void {
    if (this.#keepAliveMs === null || this.isGone) return
    this.#network.world.after(
      this.#keepAliveMs + PROBES_MS,
      () => {
        if (this.destroyed) return
        const error = Object.assign(new Error('read ETIMEDOUT'), {
          code: 'ETIMEDOUT',
          syscall: 'read'
        })
        this.destroy(error)
      },
      { actor: this.actor }
    )
  }

  // Properties that Node's class reads from its handle

  #touch(): void {
    this.#idle?.timer.refresh()
  }

  override setTimeout(ms: number, onTimeout?: () => void): this {
    if (this.#idle !== null) clearTimeout(this.#idle.timer)
    this.#idle = null
    this.timeout = ms
    if (onTimeout !== undefined) {
      if (ms === 0) this.removeListener('timeout', onTimeout)
      else this.once('timeout', onTimeout)
    }
    if (ms > 0) {
      const timer = setTimeout(() => this.emit('timeout'), ms).unref()
      this.#idle = { timer, ms }
    }
    return this
  }

  override setKeepAlive(isWanted: unknown = false, initialDelayMs = 0): this {
    this.#keepAliveMs = isWanted === true ? initialDelayMs : null
    return this
  }

  override setNoDelay(): this {
    return this
  }

  override ref(): this {
    return this
  }

  override unref(): this {
    return this
  }

  override address() {
    return { address: this.#host, family: 'IPv4', port: this.localPort }
  }
}

function resetError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ECONNRESET', syscall: 'read' })
}
