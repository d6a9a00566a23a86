import type { FaultName } from '../character.ts'
import type { Load } from '../reproduce.ts'

/** A mistake in the real code, for the simulation to find. */
export interface Mutant {
  readonly name: string
  readonly room:
    | 'budget'
    | 'lease'
    | 'pool'
    | 'retry'
    | 'drain'
    | 'reload'
    | 'reply'
    | 'turn'
    | 'workers'
    | 'sign-in'
    | 'book'
    | 'socket'
    | 'fleet'
  readonly path: string
  readonly from: string
  readonly to: string
  /** Commit that mended this mistake, or one of its kind, once. */
  readonly mended?: string
  /** Faults without which it harms nobody: worlds without them are left out. */
  readonly needs?: readonly FaultName[]
  /** Load of the worlds; busy by default. An even one has keys whose credits run out. */
  readonly load?: Load
  /** Virtual hours of the worlds, instead of `--hours`. */
  readonly hours?: number
}

const LEDGER = 'src/control/budget/ledger.ts'
const VIEW = 'src/control/budget/ledger-view.ts'
const CORE = 'src/admission/lease-core.ts'
const LEASE = 'src/admission/lease.ts'
const POOL = 'src/upstream/connections/pool.ts'
const CONNECTION = 'src/upstream/connections/connection.ts'
const EXCHANGE = 'src/upstream/call/exchange.ts'
const RETRY = 'src/upstream/call/retry.ts'
const ASK = 'src/server/ask/ask-upstream.ts'
const NEXT = 'src/server/ask/next-try.ts'
const ATTEMPT = 'src/server/ask/attempt.ts'
const STREAM = 'src/reply/stream-reply.ts'
const READER = 'src/reply/answer-reader.ts'
const SUPERVISOR = 'src/control/workers/supervisor.ts'
const ORPHANS = 'src/control/workers/orphans.ts'
const WORKER = 'src/server/worker.ts'
const VAULT = 'src/credentials/vault.ts'
const ALLOWANCES = 'src/control/allowances/allowance-control.ts'
const CREDITS = 'src/control/allowances/credit-lease.ts'
const FLEET = 'src/fleet/next-fleet.ts'

/** Each is put in alone. `from` stands once in its file. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'permits of a dead worker are free at once',
    room: 'budget',
    path: LEDGER,
    from: 'next.set(event.member, { ...entry, starts: gone.starts, hasStopped: true })',
    to: 'next.delete(event.member)',
    mended: 'a7a010f7',
    needs: ['kill', 'slow']
  },
  {
    name: 'a shrunk budget is not asked back to the last permit',
    room: 'budget',
    path: VIEW,
    from: 'if (this.free >= 0) return 0',
    to: 'if (this.free >= -2) return 0',
    needs: ['resize']
  },
  {
    name: 'a worker that is leaving is asked for nothing',
    room: 'budget',
    path: VIEW,
    from: 'if (entry.isRetiring) return Math.max(0, lease)',
    to: 'if (entry.isRetiring) return 0'
  },
  {
    name: 'idle permits elsewhere are not asked for',
    room: 'budget',
    path: VIEW,
    from: 'return Math.max(0, Math.min(lease, wanted))',
    to: 'return 0'
  },
  {
    name: 'one permit too many is granted to those who wait',
    room: 'budget',
    path: LEDGER,
    from: 'const rest = Math.min(left, wantOf(entry) - (grants.get(member) ?? 0))',
    to: 'const rest = wantOf(entry) - (grants.get(member) ?? 0)'
  },
  {
    name: 'a report that directly follows another is dropped',
    room: 'budget',
    path: LEDGER,
    from: 'if (entry !== undefined && event.report.seq > entry.report.seq) {',
    to: 'if (entry !== undefined && event.report.seq > entry.report.seq + 1) {'
  },
  {
    name: 'what a dead worker left behind is not looked for',
    room: 'budget',
    path: ORPHANS,
    from: "if (left === 0) return 'gone'",
    to: "if (left >= 0) return 'gone'",
    mended: 'a7a010f7',
    needs: ['kill', 'slow']
  },
  {
    name: 'a dead worker keeps its permits for ever',
    room: 'budget',
    path: ORPHANS,
    from: "budget.record({ type: 'left', member })",
    to: 'void member',
    needs: ['kill']
  },
  {
    name: 'idle permits are given to others only while requests wait here',
    room: 'lease',
    path: CORE,
    from: 'const isAsked = this.#isAsked() || this.#grant.ahead > 0',
    to: 'const isAsked = this.#grant.ahead > 0'
  },
  {
    name: 'requests that wait are not reported',
    room: 'lease',
    path: CORE,
    from: 'if (isFarFrom(this.#lacking, told.waiting - served)) return true',
    to: 'if (told.seq < 0 && served > 0) return true'
  },
  {
    name: 'idle permits are never given to others',
    room: 'lease',
    path: CORE,
    from: 'if (done >= wanted) return false',
    to: 'if (done >= 0) return false'
  },
  {
    name: 'a request that has left is still in the queue',
    room: 'lease',
    path: CORE,
    from: 'return this.#queue.remove(id)',
    to: 'return this.#queue.remove(id - 1)'
  },
  {
    name: 'a client that leaves the queue is not noticed',
    room: 'lease',
    path: LEASE,
    from: "signal.addEventListener('abort', onAbort, { once: true })",
    to: 'void onAbort',
    mended: 'bc2b5684'
  },
  {
    name: 'HTTP_POOL_TIMEOUT ends no wait',
    room: 'lease',
    path: LEASE,
    from: 'if (oldest === null || timeoutMs === null || oldest.at + timeoutMs > now) break',
    to: 'if (oldest === null || timeoutMs === null || oldest.at + 1000 * timeoutMs > now) break',
    mended: 'd54047c4'
  },
  {
    name: 'permits are returned before their connections are gone',
    room: 'lease',
    path: LEASE,
    from: 'await this.#options.trimSockets(max)',
    to: 'void this.#options.trimSockets(max)',
    mended: '3a691f01',
    needs: ['slow']
  },
  {
    name: 'what is returned is not reported',
    room: 'lease',
    path: LEASE,
    from: 'this.#core.trimmed(permits)\n',
    to: 'this.#core.trimmed(0 * permits)\n'
  },
  {
    name: 'a released permit is issued to nobody',
    room: 'lease',
    path: LEASE,
    from: 'this.#apply(this.#core.release(now, isUnsent))',
    to: 'this.#core.release(now, isUnsent)'
  },
  {
    name: 'a permit is released before its connection is closed',
    room: 'pool',
    path: EXCHANGE,
    from: '    await settled\n    this.#options.permit.release()',
    to: '    this.#options.permit.release()\n    await settled',
    mended: '3a691f01'
  },
  {
    name: 'connections that are closing are not waited for',
    room: 'pool',
    path: POOL,
    from: 'await Promise.all(gone.map(({ promise }) => promise))',
    to: 'void gone',
    mended: '3a691f01'
  },
  {
    name: 'a failed connect keeps its permit',
    room: 'pool',
    path: EXCHANGE,
    from: '      this.#fail(cause)\n      this.#options.permit.release()',
    to: '      this.#fail(cause)'
  },
  {
    name: 'one of the expired connections stays',
    room: 'pool',
    path: POOL,
    from: "for (const connection of expired) void this.#close(connection, 'expired') // not awaited",
    to: "for (const connection of expired.slice(1)) void this.#close(connection, 'expired')"
  },
  {
    name: 'a failed connect is counted as under way',
    room: 'pool',
    path: POOL,
    from: '      this.#connecting -= 1\n      this.#wakeRoomWaiter()\n      throw cause',
    to: '      throw cause'
  },
  {
    name: 'a closed connection is counted as open',
    room: 'pool',
    path: POOL,
    from: '    this.#open.delete(connection)\n',
    to: ''
  },
  {
    name: 'more connections are opened than there are permits',
    room: 'pool',
    path: POOL,
    from: 'while (this.#sockets() >= this.#options.limits.maxSockets()) {',
    to: 'while (this.#sockets() > this.#options.limits.maxSockets()) {'
  },
  {
    name: 'a connection that the peer has ended is used again',
    room: 'pool',
    path: CONNECTION,
    from: "      if (this.#state === 'idle') this.close('peer_fin')\n",
    to: '',
    mended: '6f350ef3'
  },
  {
    name: 'the pool hands out connections that are not idle',
    room: 'pool',
    path: CONNECTION,
    from: "return this.#state === 'idle' && !this.socket.destroyed",
    to: 'return !this.socket.destroyed',
    mended: '7d3bb175'
  },
  {
    name: 'a connection that does not answer a FIN is never reset',
    room: 'pool',
    path: CONNECTION,
    from: 'const timer = setTimeout(() => this.reset(reason), patienceMs)',
    to: 'const timer = setTimeout(() => this.reset(reason), patienceMs * 1e5)',
    mended: 'd3962d6f',
    needs: ['halve']
  },
  {
    name: 'a peer has no time to notice a reset',
    room: 'pool',
    path: CONNECTION,
    from: 'else setTimeout(() => this.#onClosed(this, reason), NOTICE_GRACE_MS)',
    to: 'else this.#onClosed(this, reason)',
    mended: '3a691f01'
  },
  {
    name: 'a path that has vanished is noticed by timeouts alone',
    room: 'pool',
    path: 'src/upstream/connections/open-socket.ts',
    from: 'setKeepAlive(true',
    to: 'setKeepAlive(false',
    mended: '44879cda',
    needs: ['vanish']
  },
  {
    name: 'a request is sent again after the first byte',
    room: 'retry',
    path: ASK,
    from: "isFinal: phase === 'answering' || sink.hasBegun || signal.aborted",
    to: 'isFinal: signal.aborted',
    mended: '084da4fe'
  },
  {
    name: 'a connection that was closed meanwhile fails its request',
    room: 'retry',
    path: EXCHANGE,
    from: "const isUnseen = this.#phase === 'sent' && connection.isUnanswered && isPeerClose(cause)",
    to: "const isUnseen = connection.isUnanswered && isPeerClose(cause) && this.#phase !== 'sent'",
    mended: '6f350ef3'
  },
  {
    name: 'nothing is sent again',
    room: 'retry',
    path: RETRY,
    from: 'if (!limits.hasBudget || attempt >= maxAttemptsFor(cause, situation, limits)) return null',
    to: 'if (attempt >= 0 || !limits.hasBudget || attempt >= maxAttemptsFor(cause, situation, limits)) return null'
  },
  {
    name: 'the budget of retries is not refilled',
    room: 'retry',
    path: RETRY,
    from: 'this.#left = Math.min(this.#minimum, this.#left + back)',
    to: 'this.#left = Math.min(this.#minimum, this.#left + 0 * back)'
  },
  {
    name: 'a request is sent again for ever',
    room: 'retry',
    path: NEXT,
    from: 'const attempt = state.attempt + 1',
    to: 'const attempt = state.attempt + 0',
    mended: 'c98d8c8c'
  },
  {
    name: 'an answer that broke looks cut short',
    room: 'reply',
    path: ATTEMPT,
    from: "return error.code === 'GW_STREAM_TRUNCATED' || (this.isClosed && isLoss(error))",
    to: "return error.code === 'GW_STREAM_TRUNCATED' || isLoss(error)",
    mended: 'bf957317'
  },
  {
    name: 'an exception in the middle is the end',
    room: 'reply',
    path: READER,
    from: 'if (end === null) return faultOfException(event)',
    to: "if (end === null) return (this.#phase = 'stopped')"
  },
  {
    name: 'the last joined piece comes behind the end',
    room: 'reply',
    path: STREAM,
    from: '      this.#writeJoined()\n      this.#add(this.#options.writer.push(part))',
    to: '      this.#add(this.#options.writer.push(part))',
    mended: 'fb7422a9'
  },
  {
    name: 'a joined piece comes twice',
    room: 'reply',
    path: STREAM,
    from: "    this.#joinedText = ''\n    this.#add(this.#options.writer.push(part))",
    to: "    if (this.#pieces % 7 === 0) this.#joined = part.type\n    else this.#joinedText = ''\n    this.#add(this.#options.writer.push(part))"
  },
  {
    name: 'what came before a failure is not sent',
    room: 'reply',
    path: ATTEMPT,
    from: "if (phase === 'answering' && !this.#isUnwritable) this.#options.sink.flush()",
    to: "if (phase === 'connecting' && !this.#isUnwritable) this.#options.sink.flush()",
    mended: '8047e327'
  },
  {
    name: 'an upstream that does not begin is waited for',
    room: 'turn',
    path: ATTEMPT,
    from: "else this.#exchange.abort(new GatewayError('GW_UPSTREAM_HEADERS_TIMEOUT'))",
    to: 'else this.#firstToken?.refresh()'
  },
  {
    name: 'a silent answer is waited for',
    room: 'turn',
    path: EXCHANGE,
    from: 'if (this.#isPaused) this.#silence?.refresh()',
    to: 'if (bodyTimeoutMs > 0) this.#silence?.refresh()'
  },
  {
    name: 'a client that leaves keeps its call',
    room: 'turn',
    path: EXCHANGE,
    from: "signal.addEventListener('abort', this.#onAbort)",
    to: "if (request.method === 'GET') signal.addEventListener('abort', this.#onAbort)"
  },
  {
    name: 'workers that leave are cut off',
    room: 'drain',
    path: WORKER,
    from: 'await this.#turns.drain({ timeoutMs: patienceMs, ...lastWords() })',
    to: 'await this.#turns.drain({ timeoutMs: 0 * patienceMs, ...lastWords() })',
    mended: '2735a3db',
    needs: ['restart']
  },
  {
    name: 'workers that leave do not wait for their clients',
    room: 'drain',
    path: WORKER,
    from: 'await withinTime(listener.close(), current.config.cluster.drainTimeoutMs)\n    if',
    to: 'void withinTime(listener.close(), current.config.cluster.drainTimeoutMs)\n    if',
    mended: '6986790f',
    needs: ['restart']
  },
  {
    name: 'a successor is killed with its predecessor',
    room: 'workers',
    path: SUPERVISOR,
    from: 'this.#letGo(predecessor, onGone)?.retire()',
    to: 'this.#letGo(predecessor, onGone)?.kill()',
    mended: '2735a3db',
    needs: ['restart']
  },
  {
    name: 'a dead worker is not replaced',
    room: 'workers',
    path: SUPERVISOR,
    from: "this.#after(slot, state.delayMs, () => this.#on(slot, 'retry', null))",
    to: "this.#after(slot, state.delayMs * 1e5, () => this.#on(slot, 'retry', null))",
    needs: ['kill']
  },
  {
    name: 'a worker that hangs is not killed',
    room: 'workers',
    path: 'src/control/workers/stall-watch.ts',
    from: 'worker.kill(`gave no sign of life for ${silentMs / 1000} s`)',
    to: 'void silentMs',
    mended: '7248eeda',
    needs: ['pause']
  },
  {
    name: 'a reload does not resize the budget',
    room: 'reload',
    path: 'src/control/budget/budget.ts',
    from: '    this.#size = { ...config.pool, workers }\n    this.adapt()',
    to: '    this.#size = { ...config.pool, workers }',
    needs: ['resize']
  },
  {
    name: 'a reload cuts the streams of a worker',
    room: 'reload',
    path: WORKER,
    from: '  plane.lease.setLimits(config.pool)',
    to: '  plane.lease.setLimits(config.pool)\n  plane.lease.drain()'
  },
  {
    name: 'the next refresh token is not read from the answer',
    room: 'sign-in',
    path: VAULT,
    from: 'refreshToken: tokens.refreshToken ?? before.refreshToken',
    to: 'refreshToken: before.refreshToken'
  },
  {
    name: 'the next refresh token is not remembered',
    room: 'sign-in',
    path: VAULT,
    from: 'await this.#remember(renewed, fresh, now)',
    to: 'void fresh'
  },
  {
    name: 'the next refresh token is not written',
    room: 'sign-in',
    path: VAULT,
    from: 'await this.#saveOverlay(this.#renewed)',
    to: 'void this.#saveOverlay'
  },
  {
    name: 'a worker that leaves ends the answer on a WebSocket',
    room: 'socket',
    path: 'src/server/socket/responses-socket.ts',
    from: 'if (this.#isAnswering) this.#farewell ??= farewell',
    to: 'if (this.#isAnswering) this.#end(farewell)',
    needs: ['restart']
  },
  {
    name: 'a refusal is not told on a WebSocket',
    room: 'socket',
    path: 'src/server/socket/frame-response.ts',
    from: 'if (events.length === 0) return done()',
    to: 'if (events.length >= 0) return done()'
  },
  {
    name: 'the next refresh token is not synced',
    room: 'sign-in',
    path: VAULT,
    from: '{ text, mode: 0o600, isDurable: true }',
    to: '{ text, mode: 0o600, isDurable: false }',
    needs: ['power loss']
  },
  {
    name: 'permits that are lent to another gateway are still used here',
    room: 'fleet',
    path: 'src/control/fleet/fleet-ledger.ts',
    from: '      this.#size -= lent\n',
    to: '',
    needs: ['valkey restart']
  },
  {
    name: 'idle permits are not lent to another gateway',
    room: 'fleet',
    path: 'src/fleet/fleet-demand.ts',
    from: 'const idle = Math.min(wanted, Math.max(0, lease - floorOf(share)))',
    to: 'const idle = Math.min(0, wanted, floorOf(share))',
    needs: ['valkey restart']
  },
  {
    name: 'what waits for the peer of a dead worker counts as gone',
    room: 'budget',
    path: ORPHANS,
    from: "new Set(['04', '05', '09', '0B'])",
    to: "new Set(['04', '09', '0B'])",
    mended: '333b7d01',
    needs: ['kill', 'slow']
  },
  {
    name: 'permits of a dead worker come back all at once',
    room: 'budget',
    path: LEDGER,
    from: 'const returned = Math.max(report.returned, granted - sockets)',
    to: 'const returned = Math.max(report.returned, granted - 0 * sockets)',
    mended: 'a7a010f7',
    needs: ['kill', 'slow']
  },
  {
    name: 'a request that has its connection still listens as if it waited',
    room: 'lease',
    path: LEASE,
    from: '    this.#waiters.delete(id)\n    waiter.unlisten()\n',
    to: '    this.#waiters.delete(id)\n',
    mended: 'a2bba34b'
  },
  {
    name: 'a stream of a key is never given back',
    room: 'lease',
    path: 'src/server/primary/key-limits.ts',
    from: 'if (this.#holders === 0) this.#share.settle(0)',
    to: 'if (this.#holders < 0) this.#share.settle(0)'
  },
  {
    name: 'what a dead worker has used of a minute is free again',
    room: 'lease',
    path: 'src/control/allowances/allowance-ledger.ts',
    from: 'return isUsedUp(name) ? Math.max(used, heldBy(holding)) : 0',
    to: "return name.endsWith('/credits') ? Math.max(used, heldBy(holding)) : 0",
    needs: ['kill'],
    load: 'even'
  },
  {
    name: 'requests a minute are never used up',
    room: 'lease',
    path: 'src/server/primary/key-limits.ts',
    from: '(await allowances.take(part, signal)).settle(1)',
    to: '(await allowances.take(part, signal)).settle(0)',
    load: 'even'
  },
  {
    name: 'a connection that has gone wakes nobody who waits for room',
    room: 'pool',
    path: POOL,
    from: '    this.#closing.delete(connection)\n    this.#wakeRoomWaiter()\n',
    to: '    this.#closing.delete(connection)\n'
  },
  {
    name: 'permits are returned, and their connections stay',
    room: 'pool',
    path: POOL,
    from: '  async trim(max: number): Promise<void> {\n    this.#closeIdle(max)\n',
    to: '  async trim(max: number): Promise<void> {\n'
  },
  {
    name: 'the timer of an answer that was read goes off',
    room: 'turn',
    path: EXCHANGE,
    from: '    if (this.#silence !== null) clearTimeout(this.#silence)\n',
    to: ''
  },
  {
    name: 'an answer that has begun must still begin in time',
    room: 'turn',
    path: ATTEMPT,
    from: '    if (this.#firstToken !== null) clearTimeout(this.#firstToken)\n',
    to: ''
  },
  {
    name: 'the memory of a request is not given back',
    room: 'turn',
    path: 'src/server/turn/turn.ts',
    from: '      this.#memory?.release()\n      plane.turns.remove(this)',
    to: '      plane.turns.remove(this)'
  },
  {
    name: 'heartbeats go on while nothing is asked',
    room: 'reply',
    path: STREAM,
    from: '  onIdle(): void {\n    if (this.#heartbeat !== null) clearTimeout(this.#heartbeat)\n    this.#heartbeat = null',
    to: '  onIdle(): void {',
    mended: '1c3d0bbc'
  },
  {
    name: 'the checksum of a frame is not checked',
    room: 'reply',
    path: 'src/frames/frame-decoder.ts',
    from: 'if (checksumOf(bytes, at, checksumAt) !== bytes.readUInt32BE(checksumAt)) {',
    to: 'if (checksumAt < 0) {'
  },
  {
    name: 'good frames before a corrupt one are lost',
    room: 'reply',
    path: 'src/frames/frame-decoder.ts',
    from: 'if (this.#failure === null || frames.length === 0) throw error',
    to: 'throw error',
    mended: '38024654'
  },
  {
    name: 'a failure in the middle is not told',
    room: 'reply',
    path: STREAM,
    from: '    this.#add(this.#options.writer.fail(error))\n',
    to: ''
  },
  {
    name: 'a drain does not wait until an answer is read',
    room: 'drain',
    path: 'src/server/turn/turn.ts',
    from: '      await whenSent(response)\n',
    to: '',
    mended: '2f4cd4e4',
    needs: ['restart']
  },
  {
    name: 'a worker that leaves has a thousandth of its time',
    room: 'workers',
    path: SUPERVISOR,
    from: 'setTimeout(() => worker.kill(), this.#options.retireTimeoutMs())',
    to: 'setTimeout(() => worker.kill(), this.#options.retireTimeoutMs() / 1000)',
    mended: '2735a3db',
    needs: ['restart']
  },
  {
    name: 'after a reload connections never expire',
    room: 'reload',
    path: WORKER,
    from: 'plane.pool.setKeepaliveExpiry(config.pool.keepaliveExpiryMs)',
    to: 'plane.pool.setKeepaliveExpiry(null)',
    needs: ['resize']
  },
  {
    name: 'renewed tokens are not kept in memory',
    room: 'sign-in',
    path: VAULT,
    from: 'reconcile(read, [this.#renewed, await this.#overlay.load()])',
    to: 'reconcile(read, [await this.#overlay.load()])',
    mended: '18ecc335',
    needs: ['full disk']
  },
  {
    name: 'a renewal that fails for now ends the token in use',
    room: 'sign-in',
    path: 'src/credentials/sign-in.ts',
    from: 'if (isFinal && this.#held?.snapshot.token === spentToken) this.#held = null',
    to: 'if (isFinal || this.#held?.snapshot.token !== spentToken) this.#held = null',
    mended: '0d726795',
    needs: ['full disk', 'silence']
  },
  {
    name: "another gateway's turn with the refresh token is not waited for",
    room: 'sign-in',
    path: 'src/fleet/next-refresh.ts',
    from: "if (own.phase === 'idle' || isMineUnpresented(state, own)) {",
    to: "if (own.phase !== 'refused' || isMineUnpresented(state, own)) {",
    mended: 'f4c88d96',
    needs: ['full disk', 'valkey restart']
  },
  {
    name: 'what a dead worker held is in no row',
    room: 'book',
    path: ALLOWANCES,
    from: '      if (credits > 0)\n        lost.push',
    to: '      if (credits < 0)\n        lost.push',
    mended: '647f4948',
    needs: ['kill']
  },
  {
    name: 'what a dead worker has charged is charged once more',
    room: 'book',
    path: ALLOWANCES,
    from: 'isCredits(name) ? heldBy(holding) - used : 0',
    to: 'isCredits(name) ? heldBy(holding) - 0 * used : 0',
    mended: '04433584',
    needs: ['kill']
  },
  {
    name: 'what a dead worker held stays held',
    room: 'book',
    path: ALLOWANCES,
    from: "      this.#tell(one, { type: 'left', member, used })",
    to: '      void used',
    needs: ['kill']
  },
  {
    name: 'what is wanted while the book answers is not asked for',
    room: 'book',
    path: CREDITS,
    from: '      this.look() // more may be wanted by now\n',
    to: '',
    mended: '8ba2d25e',
    load: 'even'
  },
  {
    name: 'credits that are given back are handed out meanwhile',
    room: 'book',
    path: CREDITS,
    from: 'this.#share = Math.max(0, share - this.#releasing)',
    to: 'this.#share = Math.max(0, share - 0 * this.#releasing)',
    mended: '06e1974f',
    load: 'even'
  },
  {
    name: 'credits that were given back are used',
    room: 'book',
    path: CREDITS,
    from: '    this.#share -= release\n',
    to: '',
    load: 'even'
  },
  {
    name: 'a charge is never settled',
    room: 'book',
    path: 'src/server/ask/bill.ts',
    from: '    charge.settle()\n',
    to: ''
  },
  {
    name: 'a client that leaves its WebSocket keeps its call',
    room: 'socket',
    path: 'src/server/socket/responses-socket.ts',
    from: '    this.#response?.destroy()\n',
    to: ''
  },
  {
    name: 'what is lent is used here until it is away',
    room: 'fleet',
    path: 'src/control/fleet/fleet-ledger.ts',
    from: '      this.#options.budget.adapt() // before they are back: they must not be granted here once more\n',
    to: '',
    needs: ['valkey restart']
  },
  {
    name: 'what was lent is not told to the fleet',
    room: 'fleet',
    path: 'src/fleet/fleet-core.ts',
    from: '    this.#returned += permits\n',
    to: '',
    needs: ['valkey restart']
  },
  {
    name: 'a fleet grants one permit too many',
    room: 'fleet',
    path: FLEET,
    from: 'let free = grantableIn(state) - sumOfLeases(state.members)',
    to: 'let free = grantableIn(state) - sumOfLeases(state.members) + 1',
    needs: ['valkey restart']
  },
  {
    name: 'after a loss of its data Valkey waits for no gateway',
    room: 'fleet',
    path: FLEET,
    from: "    phase: 'learning',\n    cap: 0,",
    to: "    phase: 'open',\n    cap: 0,",
    needs: ['valkey flush']
  },
  {
    name: 'a key that is revoked at another gateway stays good',
    room: 'fleet',
    path: 'src/control/fleet/fleet-keys.ts',
    from: 'if (name === null || name === RECORD) this.#meetSoon()',
    to: 'if (name === null) this.#meetSoon()',
    mended: '67ab0d2a',
    needs: ['valkey restart']
  },
  {
    name: 'a gateway joins its fleet before its folder knows of it',
    room: 'fleet',
    path: 'src/control/fleet/fleet-control.ts',
    from: '    await this.#remember(core)\n    if (this.#isDraining) return\n',
    to: '    this.#core = core\n    await this.#remember(core)\n',
    mended: '5b505d2a',
    needs: ['gateway crash', 'full disk', 'valkey restart'],
    load: 'even',
    hours: 0.05
  },
  {
    name: 'requests wait for a tenth of a second whatever HTTP_POOL_TIMEOUT says',
    room: 'lease',
    path: 'src/admission/lease.ts',
    from: 'return Math.max(arrivedAt, this.#clock.now() + waitMs)',
    to: 'return Math.min(arrivedAt, this.#clock.now() + waitMs)'
  },
  {
    name: 'between attempts is a millisecond',
    room: 'retry',
    path: 'src/upstream/call/retry.ts',
    from: 'const FIRST_DELAY_MS = 1000',
    to: 'const FIRST_DELAY_MS = 1'
  },
  {
    name: 'each attempt is another request for the upstream',
    room: 'retry',
    path: 'src/server/ask/ask-upstream.ts',
    from: 'if (next.isNewCall) invocationId = randomUUID()',
    to: 'invocationId = randomUUID()'
  },
  {
    name: 'only the first piece is sent before the end',
    room: 'reply',
    path: 'src/server/ask/attempt.ts',
    from: '    this.#isFlushDue = false\n    try {',
    to: '    try {'
  },
  {
    name: 'a sign-in is renewed only when it has ended',
    room: 'sign-in',
    path: 'src/credentials/refresher.ts',
    from: 'if (setAt <= now && now < at) this.set(at)\n      else this.#onDue()',
    to: 'if (setAt > now || now >= at) this.#onDue()',
    needs: ['full disk']
  },
  {
    name: 'a token of a short life is renewed again at once',
    room: 'sign-in',
    path: 'src/credentials/sign-in.ts',
    from: 'Math.max(ahead, issuedAt + (expiresAt - issuedAt) / 2)',
    to: 'Math.min(ahead, issuedAt + (expiresAt - issuedAt) / 2)',
    needs: ['full disk']
  },
  {
    name: 'a key is refused before the book has answered',
    room: 'book',
    path: 'src/control/allowances/allowance-ledger.ts',
    from: 'if (freeIn(state) > 0 || state.mayCome) return false',
    to: 'if (freeIn(state) > 0) return false'
  },
  {
    name: 'a key is refused although the book has more',
    room: 'book',
    path: 'src/control/allowances/credit-lease.ts',
    from: '    if (this.#isFree) return true\n',
    to: ''
  },
  {
    name: 'an answer uses up nothing of what its worker holds',
    room: 'book',
    path: 'src/admission/allowance-core.ts',
    from: 'this.#used += cost',
    to: 'this.#used += 0 * cost',
    load: 'even',
    hours: 0.2
  }
]
