import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { readBytes } from '../../shared/read-bytes.ts'
import type { CapturedModel, RecordedCall, RecordedTurn, UpstreamStep } from './capture-reader.ts'

export interface PlayerOptions {
  readonly turn: RecordedTurn
  readonly isFast: boolean
  /** 0 takes any free one. */
  readonly port: number
}

/** Before a reset, which would discard unread bytes. */
const BEFORE_RESET_MS = 100
const MAX_BODY_BYTES = 256 * 1024 * 1024

/** Plays recorded answers, in the same pieces and pauses. */
export class UpstreamPlayer {
  readonly #options: PlayerOptions
  readonly #server: Server
  /** In order. Bounded by what a gateway asks for one request. */
  readonly asked: { readonly kind: RecordedCall['kind']; readonly body: Buffer }[] = []
  #next = 0

  constructor(options: PlayerOptions) {
    this.#options = options
    this.#server = createServer({ noDelay: true }, (request, response) => {
      this.#serve(request, response).catch(() => response.destroy()) // the gateway has left
    })
  }

  async start(): Promise<string> {
    this.#server.listen({ host: '127.0.0.1', port: this.#options.port })
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('not listening on TCP')
    return `http://127.0.0.1:${address.port}`
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBytes(request, MAX_BODY_BYTES)
    if (body === null) throw new Error('the request is too large')
    const operation = operationOf(request)
    if (operation === 'models') return answerModels(response, this.#options.turn)
    if (operation === 'other') return answer(response, 404, { message: 'not recorded' })
    this.asked.push({ kind: operation, body })
    const call = this.#options.turn.calls[this.#next++]
    if (call === undefined || call.kind !== operation) {
      return answer(response, 400, {
        message: 'The gateway asks otherwise than when it was recorded.'
      })
    }
    await this.#play(call, response)
  }

  async #play({ steps, answer: bytes }: RecordedCall, response: ServerResponse): Promise<void> {
    let at = 0
    let last = steps.find((step) => step.type === 'sent')?.at ?? steps[0]?.at ?? 0
    for (const step of steps) {
      if (!this.#options.isFast && step.at > last) await delay(step.at - last)
      last = Math.max(last, step.at)
      switch (step.type) {
        case 'sent':
          break
        case 'head':
          response.writeHead(step.status, playable(step.headers))
          response.flushHeaders()
          break
        case 'chunk':
          response.write(bytes.subarray(at, at + step.bytes))
          at += step.bytes
          break
        case 'end':
          response.end()
          return
        case 'error':
          return breakOff(step, response)
      }
    }
  }
}

async function breakOff(
  { code, message }: Extract<UpstreamStep, { type: 'error' }>,
  response: ServerResponse
): Promise<void> {
  if (!isUpstreamsDoing(code, message)) return // it waits until the gateway leaves, as then
  await delay(BEFORE_RESET_MS)
  if (code === 'UND_ERR_SOCKET') response.socket?.end()
  else response.socket?.resetAndDestroy()
}

function isUpstreamsDoing(code: string, message: string): boolean {
  if (code.startsWith('GW_') || code === 'UND_ERR_BODY_TIMEOUT') return false
  return code !== '' && message !== 'nothing more is wanted'
}

/** True if the gateway gave up because nothing arrived. */
export function isTimeout({ steps }: RecordedCall): boolean {
  const last = steps.at(-1)
  if (last?.type !== 'error') return false
  return last.code === 'UND_ERR_BODY_TIMEOUT' || last.code === 'GW_UPSTREAM_HEADERS_TIMEOUT'
}

export function isUnconnected({ steps }: RecordedCall): boolean {
  return !steps.some(({ type }) => type === 'sent') && steps.at(-1)?.type === 'error'
}

function playable(headers: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(headers).filter(
    ([name, value]) =>
      /^(content-type|retry-after|x-amzn?-[a-z-]+)$/.test(name) && /^[\x20-\x7e]*$/.test(value)
  )
  return Object.fromEntries(kept)
}

type Operation = RecordedCall['kind'] | 'models' | 'other'

function operationOf({ url = '', headers }: IncomingMessage): Operation {
  const target = String(headers['x-amz-target'] ?? '')
  const name = `${url.split('?')[0]} ${target}`.toLowerCase().replaceAll('-', '')
  if (/generateassistantresponse/.test(name)) return 'generate'
  if (/\/mcp\b|invokemcp/.test(name)) return 'mcp'
  return /listavailablemodels/.test(name) ? 'models' : 'other'
}

/** Recorded list; without one the gateway used its own. */
function answerModels(response: ServerResponse, { facts }: RecordedTurn): void {
  const { isLive, models } = facts.catalogue
  if (!isLive) return answer(response, 404, { message: 'not recorded' })
  answer(response, 200, { models: models.map(toUpstreamModel) })
}

function toUpstreamModel(model: CapturedModel): object {
  const { maxInputTokens, maxOutputTokens, takesImages, requestFieldsSchema, rate } = model
  return {
    modelId: model.id,
    modelName: model.name,
    tokenLimits: { maxInputTokens, maxOutputTokens },
    supportedInputTypes: takesImages ? ['TEXT', 'IMAGE'] : ['TEXT'],
    rateMultiplier: rate,
    additionalModelRequestFieldsSchema: requestFieldsSchema
  }
}

function answer(response: ServerResponse, status: number, json: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(json))
}

const PRELUDE_BYTES = 12
const CHECKSUM_BYTES = 4

/** Corrects the checksums of masked frames in place. */
export function mendChecksums(frames: Buffer): void {
  for (let at = 0; at + PRELUDE_BYTES + CHECKSUM_BYTES <= frames.byteLength; ) {
    const bytes = frames.readUInt32BE(at)
    const end = at + bytes
    if (bytes < PRELUDE_BYTES + CHECKSUM_BYTES || end > frames.byteLength) return
    frames.writeUInt32BE(crc32(frames.subarray(at, end - CHECKSUM_BYTES)), end - CHECKSUM_BYTES)
    at = end
  }
}
