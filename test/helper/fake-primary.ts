import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../src/config/load.ts'
import { planMemory } from '../../src/config/memory-plan.ts'
import { NO_DEVICES } from '../../src/devices/access-check.ts'
import { KeyTrialPace } from '../../src/control/keys/key-trial-pace.ts'
import { SocketPlaces } from '../../src/control/workers/socket-places.ts'
import { BEAT_MS } from '../../src/ipc/life-signs.ts'
import {
  type Answers,
  type FromWorker,
  GOOD_STATUS,
  type LeaseGrant,
  NO_GRANT,
  type WorkerQuestion,
  type ToWorker,
  type WorkerStart
} from '../../src/ipc/messages.ts'
import { NO_KNOWN_KEYS } from '../../src/keys/key.ts'
import { BUILT_IN_CATALOGUE } from '../../src/kiro/models/models.ts'
import { LineWriter, STDOUT } from '../../src/observe/logger.ts'
import { GatewayWorker } from '../../src/server/worker.ts'
import { credentialSnapshot } from './credential-snapshot.ts'

export interface FakePrimaryOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Changes what the worker is told at its start. */
  readonly start?: Partial<WorkerStart>
  readonly permits?: number
  /** Memory for bodies. */
  readonly bodyBytes?: number
  /** Gets the lines that the worker logs, as far as `LOG_LEVEL` lets it. */
  readonly lines?: string[]
}

class KeptLines extends LineWriter {
  readonly #lines: string[]

  constructor(lines: string[]) {
    super(STDOUT)
    this.#lines = lines
  }

  override write(line: string): void {
    this.#lines.push(line)
  }
}

/** A worker that serves in this process, and the primary that it believes to have. */
export class FakePrimary {
  readonly worker: GatewayWorker
  /** What the worker has said. */
  readonly messages: FromWorker[] = []
  url = ''
  #told: WorkerStart | null = null
  #beat: NodeJS.Timeout | undefined
  readonly #endpoint: EventEmitter

  private constructor(lines: LineWriter) {
    this.#endpoint = Object.assign(new EventEmitter(), {
      send: (message: FromWorker) => {
        this.messages.push(message)
        this.#endpoint.emit('said', message)
        return true
      }
    })
    this.worker = new GatewayWorker(this.#endpoint, lines)
  }

  /** Resolves when the worker listens. */
  static async start(
    t: { teardown(close: () => unknown): void },
    upstream: URL,
    {
      env = {},
      start = {},
      permits = 10,
      bodyBytes = 256 * 2 ** 20,
      lines
    }: FakePrimaryOptions = {}
  ): Promise<FakePrimary> {
    const primary = new FakePrimary(lines ? new KeptLines(lines) : new LineWriter(STDOUT))
    const stateDir = mkdtempSync(join(tmpdir(), 'gateway-state-'))
    t.teardown(() => rmSync(stateDir, { recursive: true, force: true }))
    const result = loadConfig(
      {
        SERVER_HOST: '127.0.0.1',
        SERVER_PORT: '0',
        PROXY_API_KEY: 'good-key',
        KIRO_API_URL: upstream.origin,
        LOG_LEVEL: 'silent',
        DRAIN_TIMEOUT: '0',
        STATE_DIR: stateDir,
        ...env
      },
      []
    )
    if (result.name !== 'config') throw new Error('there is no config')
    const ready = primary.heard('worker.ready')
    const { newKeysPerMinute } = result.config.credentials
    const pace = new KeyTrialPace(() => newKeysPerMinute)
    const { maxConnections } = result.config.webSocket
    const places = new SocketPlaces(() => maxConnections)
    primary.#endpoint.on('said', (message: FromWorker) => {
      if (message.type !== 'asked') return
      const { requestId, question } = message
      if (question.type === 'kiro-key.try')
        primary.tell({ type: 'answered', requestId, answer: pace.take() })
      if (question.type === 'socket-place.wanted') {
        const answer = places.take('the worker', question.open)
        primary.tell({ type: 'answered', requestId, answer })
      }
      if (question.type === 'session.end')
        primary.tell({ type: 'answered', requestId, answer: null })
    })
    primary.#beat = setInterval(() => primary.tell({ type: 'primary.alive' }), BEAT_MS)
    t.teardown(() => primary.fallSilent())
    primary.#told = {
      type: 'worker.start',
      workerId: 1,
      config: result.config,
      boundPort: null,
      news: { snapshot: credentialSnapshot(), problem: null },
      accountStatus: GOOD_STATUS,
      planBar: null,
      planStanding: null,
      devices: NO_DEVICES,
      catalogue: BUILT_IN_CATALOGUE,
      knownKeys: NO_KNOWN_KEYS,
      isSimulated: false,
      sessionSecret: '00'.repeat(32),
      compactionKeys: ['11'.repeat(32)],
      endedSessions: [],
      memory: {
        ...planMemory(512 * 2 ** 20, { workers: 1, threads: 1 }),
        bodyBytesPerWorker: bodyBytes,
        connectionsPerWorker: 1_000,
        thread: { oldSpaceMb: 128, semiSpaceMb: 4 },
        // In 32 a thread stops while it loads what the test runner loads in every thread, and ends after 45 s.
        pdfThread: { oldSpaceMb: 64, semiSpaceMb: 4 }
      },
      status: { workers: [{ id: 1, state: 'ready' }], isCrashLooping: false, isEnding: false },
      ...start
    }
    primary.tell(primary.#told)
    primary.grant({ granted: permits })
    t.teardown(() => {
      primary.worker.drain()
      return primary.worker.stopped
    })
    primary.url = `http://127.0.0.1:${(await ready).port}`
    return primary
  }

  /** What the worker was told at its start. */
  get told(): WorkerStart {
    if (this.#told === null) throw new Error('it has not started')
    return this.#told
  }

  tell(message: ToWorker): void {
    this.#endpoint.emit('message', message)
  }

  grant(grant: Partial<LeaseGrant>): void {
    const all = { budget: 10, keepAlive: 10, maxWaiting: 10, ...grant }
    this.tell({ ...NO_GRANT, seq: this.messages.length + 1, ...all })
  }

  /** Stops to show signs of life. */
  fallSilent(): void {
    clearInterval(this.#beat)
  }

  /** Lets the test answer questions. */
  onQuestion(
    act: (question: WorkerQuestion, answer: (answer: Answers[keyof Answers]) => void) => void
  ): void {
    this.#endpoint.on('said', (message: FromWorker) => {
      if (message.type !== 'asked') return
      const { requestId, question } = message
      act(question, (answer) => this.tell({ type: 'answered', requestId, answer }))
    })
  }

  /** The next question of a type. */
  async asked(type: WorkerQuestion['type']): Promise<number> {
    for (;;) {
      const { requestId, question } = await this.heard('asked')
      if (question.type === type) return requestId
    }
  }

  /** The next message of a type. */
  heard<T extends FromWorker['type']>(type: T): Promise<Extract<FromWorker, { type: T }>> {
    return new Promise((resolve) => {
      const onSaid = (message: FromWorker): void => {
        if (message.type !== type) return
        this.#endpoint.off('said', onSaid)
        resolve(message as Extract<FromWorker, { type: T }>)
      }
      this.#endpoint.on('said', onSaid)
    })
  }
}
