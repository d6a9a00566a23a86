import { followOpenFiles } from '../config/container.ts'
import type { Config } from '../config/settings.ts'
import { Sessions } from '../dashboard/session.ts'
import { AccessCheck } from '../devices/access-check.ts'
import type { EndedSession } from '../ipc/dashboard.ts'
import type { ClusterStatus, WorkerStart } from '../ipc/messages.ts'
import type { KnownKeys } from '../keys/key.ts'
import type { Catalogue } from '../kiro/models/models.ts'
import { createLogger, type LogStream } from '../observe/logger.ts'
import { RefusalLog } from '../observe/refusal-log.ts'
import { GatewayError } from '../shared/errors.ts'
import { describeBadRequest, refuseCrowd } from './http/app-errors.ts'
import { createApp } from './http/app.ts'
import { Authenticator } from './http/auth.ts'
import { ClientConnections } from './http/connections.ts'
import { DashboardPages } from './http/dashboard-pages.ts'
import { Listener } from './http/listener.ts'
import { WorkerMetrics } from './http/worker-metrics.ts'
import { takesWebSocket } from './http/socket-routes.ts'
import { KeptConversations } from './socket/kept-conversations.ts'
import { ResponsesSockets } from './socket/responses-sockets.ts'
import { createDataPlane, type Surroundings } from './worker/data-plane.ts'
import { LoadWatch } from './worker/load-watch.ts'

export type Parts = ReturnType<typeof createParts>

export interface Current {
  config: Config
  knownKeys: KnownKeys
  /** Changes in place. */
  readonly devices: AccessCheck
  authenticator: Authenticator
  catalogue: Catalogue
  status: ClusterStatus
}

export function authenticatorOf({
  config,
  knownKeys,
  devices
}: Pick<Current, 'config' | 'knownKeys' | 'devices'>): Authenticator {
  const { server, credentials } = config
  const { isKeyPassthrough } = credentials
  return new Authenticator(server.apiKeys, server.host, {
    isKeyPassthrough,
    metricsKey: server.metricsKey,
    knownKeys,
    devices: config.devices.signIn === 'off' ? null : devices
  })
}

/** Wires everything of a worker that serves requests. */
export function createParts(
  start: WorkerStart,
  surroundings: Omit<Surroundings, 'log' | 'current'> & { readonly logStream: LogStream }
) {
  const { channel, logStream, pulse } = surroundings
  const { config, memory, workerId, catalogue, knownKeys, status } = start
  const log = createLogger(config.observe.level, { worker: workerId }, logStream)
  const devices = new AccessCheck(start.devices)
  const authenticator = authenticatorOf({ config, knownKeys, devices })
  const current: Current = { config, knownKeys, devices, authenticator, catalogue, status }
  const plane = createDataPlane(start, { ...surroundings, log, current })
  const sockets = new ResponsesSockets({
    plane,
    kept: new KeptConversations({
      budget: plane.memory,
      // Equal parts, as of the memory that it is lent from: a larger one could not be had in one worker.
      maxBytes: () => current.config.webSocket.keptBytes / memory.workers
    }),
    channel,
    pulse,
    isEnding: () => current.status.isEnding
  })
  const metrics = new WorkerMetrics({
    channel,
    plane,
    pulse,
    logStream,
    hasNamedKeys: () => current.knownKeys.isKeyRequired,
    sockets
  })
  const sessions = new Sessions(start.sessionSecret)
  for (const ended of start.endedSessions) sessions.ended.add(ended)
  const endSession = async ({ id, expiresAt }: EndedSession): Promise<void> => {
    sessions.ended.add({ id, expiresAt })
    await pulse.ask({ type: 'session.end', ended: { id, expiresAt } })
  }
  const isLeaving = (): boolean => surroundings.life.state !== 'open'
  const pages = new DashboardPages({ channel, pulse, isLeaving, metrics, turns: plane.turns })
  const refusals = new RefusalLog(log)
  const maxUpstream = () => current.config.pool.maxConnections
  const maxConnections = followOpenFiles(memory.connectionsPerWorker, maxUpstream)
  const connections = new ClientConnections({
    takesWebSocket: (request) => takesWebSocket(sockets, request),
    get maxConnections() {
      return maxConnections()
    },
    socketBytes: memory.socketBytes / memory.workers,
    stallTimeoutMs: () => current.config.server.clientStallTimeoutMs,
    headersTimeoutMs: Math.min(HEADERS_TIMEOUT_MS, config.server.bodyTimeoutMs),
    describeError: (error) => describeBadRequest(refusals, error),
    refuse: refuseCrowd,
    onFull: (isFull) => channel.send({ type: 'clients.full', isFull }),
    onDropped: (dropped) => log.warn({ ...dropped }, 'client connections dropped'),
    load: new LoadWatch({
      memory: () => ({ used: plane.memory.reservedBytes, total: plane.memory.totalBytes }),
      isWaiting: () => plane.memory.waiting > 0 || plane.transforms.waiting > 0,
      arrivals: plane.arrivals,
      channel
    })
  })
  const app = createApp({
    plane,
    log,
    refusals,
    connections,
    sockets,
    current,
    dashboard: { pages, sessions, endSession },
    primary: pulse
  })
  const listener = new Listener({
    host: config.server.host,
    port: config.server.port,
    boundPort: start.boundPort,
    createServer: () => connections.createServer(app)
  })
  return {
    plane,
    listener,
    connections,
    sockets,
    metrics,
    pages,
    sessions,
    log,
    refusals,
    current,
    app
  }
}

/** Clients send headers at once; only a body may take its time. */
const HEADERS_TIMEOUT_MS = 20_000

/** Ends the requests under way by `drainTurns`, then closes everything. */
export async function closeParts(
  { plane, listener, connections, sockets, metrics, refusals, pages }: Parts,
  drainTurns: () => Promise<void>
): Promise<void> {
  void listener.close()
  pages.close()
  sockets.end()
  plane.lease.drain()
  plane.readings.close()
  plane.retryWaits.refuse(new GatewayError('GW_DRAINING'))
  plane.allowances.drain()
  plane.memory.drain()
  await drainTurns()
  connections.closeIdle()
  plane.fetcher.close()
  await Promise.all([plane.pool.close(), plane.transforms.close(), plane.relay.close()])
  plane.records.flush()
  plane.allowances.giveBack()
  await plane.tracing.tracer?.close()
  await metrics.push()
  connections.destroy()
  metrics.close()
  refusals.close()
  plane.refusals.close()
  plane.items.close()
  plane.metrics.close()
  await plane.recorder?.close()
}
