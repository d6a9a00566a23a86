import type { IncomingMessage } from 'node:http'
import { listSettings, writeSetting } from '../../config/setting-text.ts'
import type { Config } from '../../config/settings.ts'
import type { AnswerWriter, Written } from '../../dialects/answer/answer-writer.ts'
import type { ContentCapture } from '../../observe/content-capture.ts'
import { ContentRecorder } from '../../observe/content-recorder.ts'
import { CONTENT_BUFFER_BYTES } from '../../observe/debug-capture.ts'
import type { Logger } from '../../observe/logger.ts'
import { maskHeaders, secretsOf } from '../../observe/secret-masker.ts'
import { codeOf, messageOf } from '../../shared/errors.ts'
import { version } from '../../shared/version.ts'
import type { ResponseReader } from '../../upstream/call/exchange.ts'
import type { RequestPayload } from '../../upstream/call/requests.ts'
import type { DataPlane } from './data-plane.ts'

/** Version of the folder's layout. */
export const CAPTURE_FORMAT = 1

/** Files of upstream requests have a number. */
export const CAPTURE_FILES = {
  body: 'client-request',
  answer: 'client-answer',
  /** Everything that happened, a line of JSON each, in order. */
  timeline: 'timeline.jsonl'
} as const

/** Settings that answers can depend on, without addresses, paths and secrets. */
export const CAPTURED_SETTINGS: ReadonlySet<string> = new Set(
  `MAX_ANSWER_BYTES HEARTBEAT_INTERVAL MODEL_ALIASES MODEL_CONTEXT_WINDOWS FAKE_REASONING FAKE_REASONING_MAX_TOKENS
  FAKE_REASONING_BUDGET_CAP AUTO_TRIM_PAYLOAD TOOL_DESCRIPTION_MAX_LENGTH TOOL_MAX_COUNT WEB_SEARCH NATIVE_DOCUMENTS
  FIRST_TOKEN_TIMEOUT FIRST_TOKEN_MAX_RETRIES STREAMING_READ_TIMEOUT UPSTREAM_MAX_ATTEMPTS KIRO_REQUEST_FORM`.split(
    /\s+/
  )
)

/** Longer parts are not copied: they are held for their answer anyway. */
const LONG_PART_BYTES = 32 * 1024

export interface CapturedCall {
  readonly kind: 'generate' | 'mcp'
  readonly form: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly token: string
}

export type CallTap = (reader: ResponseReader) => ResponseReader

export class TurnCapture {
  readonly #capture: ContentCapture
  readonly #request: IncomingMessage
  readonly #plane: DataPlane
  /** Bounded by the client's headers, the settings, and a token for each call. */
  readonly #secrets: Set<string>
  readonly #startedAt = performance.now()
  readonly #at = new Date().toISOString()
  #calls = 0
  #requests = 0
  #sentHeaders: Readonly<Record<string, unknown>> = {}
  /** The payload that was written last, shared by attempts. Keeps none alive. */
  #lastPayload: WeakRef<Uint8Array> | null = null
  #isCut = false
  #estimatedInputTokens: number | null = null

  constructor(
    capture: ContentCapture,
    given: { request: IncomingMessage; plane: DataPlane; secrets: Set<string> }
  ) {
    this.#capture = capture
    this.#request = given.request
    this.#plane = given.plane
    this.#secrets = given.secrets
  }

  /** The bytes may be moved or freed afterwards. */
  async body(bytes: Uint8Array): Promise<void> {
    this.#capture.hold(CAPTURE_FILES.body, bytes)
    await this.#capture.settled()
  }

  /** Writes the payload unless it was written. Call while nothing is being sent. */
  async payload(payload: RequestPayload): Promise<void> {
    const { bytes } = payload
    if (bytes === this.#lastPayload?.deref()) return
    this.#lastPayload = new WeakRef(bytes)
    this.#capture.hold(this.#nextRequest(), bytes)
    await this.#capture.settled()
  }

  smallPayload(text: string): void {
    this.#lastPayload = null
    this.#capture.append(this.#nextRequest(), Buffer.from(text))
  }

  call({ token, headers, ...facts }: CapturedCall): CallTap {
    const call = ++this.#calls
    this.#secrets.add(token)
    this.#note({
      call,
      type: 'call',
      ...facts,
      headers: maskHeaders(headers),
      request: this.#requests
    })
    return (reader) => this.#tapped(call, reader)
  }

  watch(writer: AnswerWriter, isStream: boolean): WatchedWriter {
    const keep = <T extends Written>(written: T): T => {
      this.#answer(written)
      return written
    }
    return {
      push: (part) => (isStream ? keep(writer.push(part)) : writer.push(part)),
      fail: (error) => keep(writer.fail(error)),
      heartbeat: () => keep(writer.heartbeat()),
      toJson: () => keep(writer.toJson()),
      get keptItems() {
        return writer.keptItems
      },
      get keptResponse() {
        return writer.keptResponse
      }
    }
  }

  send(headers: Readonly<Record<string, string>>, body: string): void {
    this.#sentHeaders = headers
    this.#answer(body)
  }

  noteEstimate(tokens: number): void {
    this.#estimatedInputTokens = tokens
  }

  /** Marks an answer that ended early, to be kept where only failures are. */
  noteCut(): void {
    this.#isCut = true
  }

  get isCut(): boolean {
    return this.#isCut
  }

  settled(): Promise<void> {
    return this.#capture.settled()
  }

  keep(facts: Readonly<Record<string, unknown>>): Promise<void> {
    const { method, url, headers } = this.#request
    const { models, isLive } = this.#plane.models.catalogue
    return this.#capture.keep({
      format: CAPTURE_FORMAT,
      version,
      at: this.#at,
      ...facts,
      request: { method, url, headers: maskHeaders(headers) },
      answer: { headers: this.#sentHeaders },
      estimatedInputTokens: this.#estimatedInputTokens,
      calls: this.#calls,
      requests: this.#requests,
      settings: settingsOf(this.#plane.current.config),
      catalogue: { isLive, models }
    })
  }

  discard(): Promise<void> {
    return this.#capture.discard()
  }

  #nextRequest(): string {
    return `upstream-request-${++this.#requests}`
  }

  #answer(written: Written): void {
    const parts = typeof written === 'string' ? [written] : written
    let bytes = 0
    for (const part of parts) {
      const size = Buffer.byteLength(part)
      bytes += size
      if (size > LONG_PART_BYTES) this.#capture.hold(CAPTURE_FILES.answer, part)
      else this.#capture.append(CAPTURE_FILES.answer, Buffer.from(part))
    }
    if (bytes > 0) this.#note({ type: 'answer', bytes })
  }

  #tapped(call: number, reader: ResponseReader): ResponseReader {
    const file = `upstream-answer-${call}`
    return {
      onSent: () => {
        this.#note({ call, type: 'sent' })
        reader.onSent()
      },
      onHeaders: (status, headers) => {
        this.#note({ call, type: 'head', status, headers: maskHeaders(headers) })
        reader.onHeaders(status, headers)
      },
      onChunk: (chunk) => {
        this.#note({ call, type: 'chunk', bytes: chunk.byteLength })
        this.#capture.append(file, chunk)
        reader.onChunk(chunk)
      },
      onEnd: () => {
        this.#note({ call, type: 'end' })
        reader.onEnd()
      },
      onError: (cause) => {
        const name = messageOf(cause)
        this.#note({ call, type: 'error', code: codeOf(cause), message: name.slice(0, 300) })
        reader.onError(cause)
      }
    }
  }

  /** `at`: milliseconds since the request came. */
  #note(happening: Readonly<Record<string, unknown>>): void {
    const at = Math.round((performance.now() - this.#startedAt) * 1000) / 1000
    const line = `${JSON.stringify({ at, ...happening })}\n`
    this.#capture.append(CAPTURE_FILES.timeline, Buffer.from(line))
  }
}

export type WatchedWriter = Pick<
  AnswerWriter,
  'push' | 'fail' | 'heartbeat' | 'toJson' | 'keptItems' | 'keptResponse'
>

export interface TurnRecorder {
  /** `null` if this request cannot be captured. */
  open(request: IncomingMessage, requestId: string): TurnCapture | null
  close(): Promise<void>
}

export function createTurnRecorder(
  plane: DataPlane,
  { log, workers }: { readonly log: Pick<Logger, 'warn'>; readonly workers: number }
): TurnRecorder {
  const recorder = new ContentRecorder({
    folder: plane.current.config.observe.debugDir,
    limits: () => {
      const { contentMaxBytes: maxBytes, contentMaxAgeMs: maxAgeMs } = plane.current.config.observe
      return { maxBytes, maxAgeMs }
    },
    writers: workers,
    bufferBytes: CONTENT_BUFFER_BYTES,
    log
  })
  return {
    open: (request, requestId) => {
      const secrets = new Set([
        ...secretsOf(request.headers),
        ...plane.current.config.server.apiKeys
      ])
      const capture = recorder.open(requestId, () => [...secrets])
      return capture === null ? null : new TurnCapture(capture, { request, plane, secrets })
    },
    close: () => recorder.close()
  }
}

/** Non-default settings as in `.env`. */
function settingsOf(config: Config): Readonly<Record<string, string>> {
  const differing = listSettings().flatMap(({ group, name, setting }) => {
    const value: unknown = Reflect.get(Reflect.get(config, group), name)
    const text = writeSetting(setting, value)
    const isUsual = text === writeSetting(setting, setting.default)
    return isUsual || !CAPTURED_SETTINGS.has(setting.env) ? [] : [[setting.env, text] as const]
  })
  return Object.fromEntries(differing)
}
