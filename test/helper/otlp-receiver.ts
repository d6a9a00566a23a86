import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { serverUrl } from './server-url.ts'

/** A span as a collector has read it. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly name: string
  readonly kind: number
  readonly startNs: bigint
  readonly endNs: bigint
  readonly attributes: Readonly<Record<string, unknown>>
  readonly events: readonly {
    readonly name: string
    readonly atNs: bigint
    readonly attributes: Readonly<Record<string, unknown>>
  }[]
  readonly statusCode: number
  readonly resource: Readonly<Record<string, unknown>>
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/**
 * A collector that takes OTLP over HTTP and is strict about it: every member of the JSON form is known and of its type (OTLP 1,
 * opentelemetry/proto/trace/v1), the protobuf form is read to its last byte.
 */
export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = []
  readonly requests: IncomingMessage[] = []
  readonly problems: string[] = []
  /** The largest request. */
  maxBytes = 0
  /** The most connections that were open at once. */
  maxConnections = 0
  /** In the place of the usual answer. */
  answer: Answer | null = null
  url = ''
  readonly #watchers = new Set<() => void>()

  async start(t: Test): Promise<this> {
    const server = createServer((request, response) => void this.#take(request, response))
    let open = 0
    server.on('connection', (socket) => {
      open++
      this.maxConnections = Math.max(this.maxConnections, open)
      socket.on('close', () => open--).on('error', () => {})
    })
    this.url = (await serverUrl(server)).origin
    t.teardown(() => {
      server.close()
      server.closeAllConnections()
    })
    return this
  }

  /** Resolves once what was received fits. */
  async until(fits: (spans: readonly ReceivedSpan[]) => boolean): Promise<void> {
    while (!fits(this.spans)) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#watchers.add(resolve)
      await promise
      this.#watchers.delete(resolve)
    }
  }

  /** Resolves once there were so many requests, whatever became of them. */
  async untilRequests(count: number): Promise<void> {
    while (this.requests.length < count) await delay(20)
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(request)
    if (this.answer !== null) return this.answer(request, response)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks)
    this.maxBytes = Math.max(this.maxBytes, body.byteLength)
    if (request.method !== 'POST') this.problems.push(`method ${request.method}`)
    const type = request.headers['content-type']
    try {
      if (type === 'application/json') this.spans.push(...readJson(JSON.parse(body.toString())))
      else if (type === 'application/x-protobuf') this.spans.push(...readProtobuf(body))
      else throw new Error(`content-type ${type}`)
    } catch (cause) {
      this.problems.push(String(cause))
    }
    response
      .writeHead(200, { 'content-type': type ?? '' })
      .end(type === 'application/json' ? '{}' : '')
    for (const wake of this.#watchers) wake()
  }
}

type Json = Record<string, unknown>

/** The object's members, all of which must be named here; `?` for one that may be missing. */
function members(value: unknown, names: readonly string[], place: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${place} is no object`)
  const known = names.map((name) => name.replace('?', ''))
  for (const name of Object.keys(value))
    if (!known.includes(name)) throw new Error(`${place}.${name} is not known`)
  for (const name of names)
    if (!name.endsWith('?') && !(name in value)) throw new Error(`${place}.${name} is missing`)
  return { ...value }
}

function listAt(value: unknown, place: string): readonly unknown[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new Error(`${place} is no list`)
  return value
}

function matching(value: unknown, pattern: RegExp, place: string): string {
  if (typeof value !== 'string' || !pattern.test(value))
    throw new Error(`${place} is ${String(value)}`)
  return value
}

function whole(value: unknown, place: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value))
    throw new Error(`${place} is no integer`)
  return value
}

const NANOS = /^[1-9][0-9]{17,18}$/

function readJson(body: unknown): readonly ReceivedSpan[] {
  const { resourceSpans } = members(body, ['resourceSpans'], 'body')
  return listAt(resourceSpans, 'resourceSpans').flatMap((one) => {
    const { resource, scopeSpans } = members(
      one,
      ['resource', 'scopeSpans', 'schemaUrl?'],
      'resourceSpans'
    )
    const { attributes } = members(
      resource,
      ['attributes', 'droppedAttributesCount?', 'entityRefs?'],
      'resource'
    )
    const told = readAttributes(attributes)
    return listAt(scopeSpans, 'scopeSpans').flatMap((scoped) => {
      const { spans, scope } = members(scoped, ['scope', 'spans', 'schemaUrl?'], 'scopeSpans')
      members(scope, ['name', 'version?', 'attributes?', 'droppedAttributesCount?'], 'scope')
      return listAt(spans, 'spans').map((span) => readSpan(span, told))
    })
  })
}

const SPAN_MEMBERS =
  'traceId spanId parentSpanId? traceState? flags? name kind startTimeUnixNano endTimeUnixNano attributes droppedAttributesCount? events? droppedEventsCount? links? droppedLinksCount? status'

function readSpan(value: unknown, resource: Json): ReceivedSpan {
  const span = members(value, SPAN_MEMBERS.split(' '), 'span')
  const status = members(span['status'], ['code', 'message?'], 'status')
  const { parentSpanId } = span
  const kind = whole(span['kind'], 'kind')
  if (kind < 1 || kind > 5) throw new Error(`kind ${kind}`)
  return {
    resource,
    traceId: matching(span['traceId'], /^[0-9a-f]{32}$/, 'traceId'),
    spanId: matching(span['spanId'], /^[0-9a-f]{16}$/, 'spanId'),
    parentSpanId:
      parentSpanId === undefined ? '' : matching(parentSpanId, /^([0-9a-f]{16})?$/, 'parentSpanId'),
    name: matching(span['name'], /./, 'name'),
    kind,
    startNs: BigInt(matching(span['startTimeUnixNano'], NANOS, 'start')),
    endNs: BigInt(matching(span['endTimeUnixNano'], NANOS, 'end')),
    attributes: readAttributes(span['attributes']),
    events: listAt(span['events'], 'events').map((one) => {
      const names = ['timeUnixNano', 'name', 'attributes?', 'droppedAttributesCount?']
      const event = members(one, names, 'event')
      return {
        name: matching(event['name'], /./, 'event'),
        atNs: BigInt(matching(event['timeUnixNano'], NANOS, 'time')),
        attributes: readAttributes(event['attributes'])
      }
    }),
    statusCode: whole(status['code'], 'status')
  }
}

function readAttributes(value: unknown): Json {
  const all: Json = {}
  for (const one of listAt(value, 'attributes')) {
    const { key, value: of } = members(one, ['key', 'value'], 'attribute')
    const name = matching(key, /./, 'key')
    if (name in all) throw new Error(`${name} stands there twice`)
    all[name] = readValue(of)
  }
  return all
}

function readValue(value: unknown): unknown {
  const [[type, of] = ['', null], ...others] = Object.entries(members(value, ANY_VALUE, 'value'))
  if (others.length > 0) throw new Error('a value of two types')
  switch (type) {
    case 'stringValue':
      return matching(of, /^\P{Cc}*$/u, type)
    case 'intValue':
      if (typeof of === 'string') return Number(matching(of, /^-?[0-9]+$/, type))
      return whole(of, type)
    case 'doubleValue':
      if (typeof of !== 'number') throw new Error(`${type} is ${String(of)}`)
      return of
    case 'boolValue':
      return of === true
    case 'arrayValue': {
      const { values } = members(of, ['values?'], type)
      return listAt(values, type).map(readValue)
    }
    default:
      throw new Error(`a value of no type: ${type}`)
  }
}

const ANY_VALUE = 'stringValue? intValue? doubleValue? boolValue? arrayValue?'.split(' ')

/** What protobuf is made of: the fields of a message by their numbers. */
type Fields = ReadonlyMap<number, readonly (Buffer | bigint)[]>

/** Reads a message to its last byte. */
function fieldsOf(bytes: Buffer): Fields {
  const fields = new Map<number, (Buffer | bigint)[]>()
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error('a message ends too early')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const take = (count: number): Buffer => {
    at += count
    if (at > bytes.length) throw new Error('a message ends too early')
    return bytes.subarray(at - count, at)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const type = tag & 7
    const list = fields.get(tag >> 3) ?? []
    fields.set(tag >> 3, list)
    if (type === 0) list.push(varint())
    else if (type === 1) list.push(take(8))
    else if (type === 2) list.push(take(Number(varint())))
    else if (type === 5) list.push(take(4))
    else throw new Error(`wire type ${type}`)
  }
  return fields
}

function bytesIn(fields: Fields, number: number): readonly Buffer[] {
  return (fields.get(number) ?? []).filter((one) => typeof one !== 'bigint')
}

function onlyIn(fields: Fields, number: number): Buffer {
  return bytesIn(fields, number)[0] ?? Buffer.alloc(0)
}

function numberIn(fields: Fields, number: number): number {
  return Number(fields.get(number)?.[0] ?? 0n)
}

/** Field numbers of opentelemetry/proto/trace/v1/trace.proto and common.proto. */
function readProtobuf(body: Buffer): readonly ReceivedSpan[] {
  return bytesIn(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const fields = fieldsOf(resourceSpans)
    const resource = attributesIn(fieldsOf(onlyIn(fields, 1)), 1)
    return bytesIn(fields, 2).flatMap((scopeSpans) =>
      bytesIn(fieldsOf(scopeSpans), 2).map((span) => spanOf(fieldsOf(span), resource))
    )
  })
}

function spanOf(fields: Fields, resource: Json): ReceivedSpan {
  return {
    resource,
    traceId: matching(onlyIn(fields, 1).toString('hex'), /^[0-9a-f]{32}$/, 'trace_id'),
    spanId: matching(onlyIn(fields, 2).toString('hex'), /^[0-9a-f]{16}$/, 'span_id'),
    parentSpanId: onlyIn(fields, 4).toString('hex'),
    name: onlyIn(fields, 5).toString(),
    kind: numberIn(fields, 6),
    startNs: onlyIn(fields, 7).readBigUInt64LE(),
    endNs: onlyIn(fields, 8).readBigUInt64LE(),
    attributes: attributesIn(fields, 9),
    events: bytesIn(fields, 11).map((event) => {
      const of = fieldsOf(event)
      return {
        atNs: onlyIn(of, 1).readBigUInt64LE(),
        name: onlyIn(of, 2).toString(),
        attributes: attributesIn(of, 3)
      }
    }),
    statusCode: numberIn(fieldsOf(onlyIn(fields, 15)), 3)
  }
}

function attributesIn(fields: Fields, number: number): Json {
  return Object.fromEntries(
    bytesIn(fields, number).map((pair) => {
      const of = fieldsOf(pair)
      return [onlyIn(of, 1).toString(), valueOf(fieldsOf(onlyIn(of, 2)))]
    })
  )
}

function valueOf(fields: Fields): unknown {
  if (fields.has(1)) return onlyIn(fields, 1).toString()
  if (fields.has(2)) return numberIn(fields, 2) === 1
  if (fields.has(3)) return numberIn(fields, 3)
  if (fields.has(4)) return onlyIn(fields, 4).readDoubleLE()
  if (fields.has(5))
    return bytesIn(fieldsOf(onlyIn(fields, 5)), 1).map((one) => valueOf(fieldsOf(one)))
  throw new Error('a value of no type')
}
