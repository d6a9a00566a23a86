import { type IncomingMessage, request as sendRequest } from 'node:http'
import { isIP, type Socket } from 'node:net'
import type { FetchedContent } from '../../dialects/request/attachments.ts'
import { sniffFormat } from '../../dialects/request/images.ts'
import { ByteBlocks } from '../../shared/own-memory.ts'
import { GatewayError, unlessAborted } from '../../shared/errors.ts'
import { openSocket } from '../../upstream/connections/open-socket.ts'
import type { HostAddress, NameLookup } from '../../upstream/names/name-lookup.ts'
import { addressOf, type Proxy, type ProxyChoice } from '../../upstream/proxy/proxy.ts'
import { FetchSlots } from './fetch-slots.ts'
import { mayBePublicHost } from './public-address.ts'

export interface FetchLimits {
  readonly maxBytes: number
  readonly timeoutMs: number
  readonly maxConcurrent: number
}

export interface UrlFetcherOptions {
  readonly limits: () => FetchLimits
  readonly isAllowedAddress: (address: string) => boolean
  /** Separate from the upstream's: clients' names must not wait in its queue or fill its cache. */
  readonly lookUp: NameLookup
  readonly chooseProxy: ProxyChoice
}

export interface FetchCall {
  readonly key: string
  readonly signal: AbortSignal
  /** Called before bytes are kept; a GatewayError ends the fetch. */
  readonly admit: (bytes: number) => void
}

const MaxRedirects = 3
const RedirectStatuses: readonly number[] = [301, 302, 303, 307, 308]
const ImageTypes: readonly string[] = ['image/png', 'image/jpeg', 'image/gif', 'image/webp']

/** Tell the types of images. */
const HeadBytes = 12
const PdfHead = '%PDF-'

/** Errors' own words are not passed on: they could hold an address or a header. */
class FetchRefused extends Error {}

/**
 * Fetches only from the public internet: addresses are checked at connecting, so that no name or redirect
 * leads to a private one. Each URL has its own connections, which end with it: a client can occupy neither
 * a file thread (with a name that never resolves) nor a socket beyond its fetch.
 */
export class UrlFetcher {
  readonly #options: UrlFetcherOptions
  readonly #slots: FetchSlots
  readonly #closing = new AbortController()

  constructor(options: UrlFetcherOptions) {
    this.#options = options
    this.#slots = new FetchSlots(() => options.limits().maxConcurrent)
  }

  /** Rejects only by the signal or `admit`; every other problem is `failed`, worded for the client. */
  async fetch(url: string, call: FetchCall): Promise<FetchedContent> {
    const signal = AbortSignal.any([call.signal, this.#closing.signal])
    const { timeoutMs } = this.#options.limits()
    // A waiting request holds the memory of its body.
    const patience = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    try {
      return await this.#slots.run(call.key, patience, () =>
        this.#fetchNow(url, { ...call, signal })
      )
    } catch (cause) {
      signal.throwIfAborted()
      if (cause !== patience.reason) throw cause
      return { kind: 'failed', reason: `it waited longer than ${timeoutMs / 1000} s for its turn` }
    }
  }

  close(): void {
    this.#closing.abort(new GatewayError('GW_DRAINING'))
  }

  async #fetchNow(url: string, call: FetchCall): Promise<FetchedContent> {
    const limits = this.#options.limits()
    const { signal } = call
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(limits.timeoutMs)])
    try {
      return await this.#follow(new URL(url), limits, { ...call, signal: bounded })
    } catch (cause) {
      signal.throwIfAborted()
      if (cause instanceof GatewayError) throw cause
      return { kind: 'failed', reason: reasonOf(cause, limits, bounded) }
    }
  }

  async #follow(first: URL, limits: FetchLimits, call: FetchCall): Promise<FetchedContent> {
    let url = first
    for (let redirects = 0; redirects <= MaxRedirects; redirects++) {
      const next = await this.#step(url, limits, call)
      if (!(next instanceof URL)) return next
      url = next
    }
    throw new FetchRefused('too many redirects')
  }

  async #step(url: URL, limits: FetchLimits, call: FetchCall): Promise<FetchedContent | URL> {
    const proxy = this.#options.chooseProxy(url)
    this.#check(url, proxy)
    const socket = await this.#connect(url, proxy, { ...call, timeoutMs: limits.timeoutMs })
    try {
      const response = await ask(url, socket, call.signal)
      const { statusCode = 0, headers } = response
      if (RedirectStatuses.includes(statusCode)) return redirectTarget(headers.location, url)
      if (statusCode !== 200)
        throw new FetchRefused(`the server answered with status ${statusCode}`)
      const content = await readBytes(response, limits.maxBytes, call.admit)
      return toContent(headers['content-type'], content)
    } finally {
      socket.destroy()
    }
  }

  /** Addresses in the URL are not looked up, and a proxy resolves names itself, so both are checked here. */
  #check(url: URL, proxy: Proxy | null): void {
    const { protocol, username, password } = url
    if (protocol !== 'http:' && protocol !== 'https:') {
      throw new FetchRefused('only http and https URLs are fetched')
    }
    if (username !== '' || password !== '') {
      throw new FetchRefused('URLs with credentials are not fetched')
    }
    const { isAllowedAddress } = this.#options
    const { host } = addressOf(url)
    const isPublic =
      proxy === null
        ? isIP(host) === 0 || isAllowedAddress(host)
        : mayBePublicHost(host, isAllowedAddress)
    if (!isPublic) throw privateAddress()
  }

  async #connect(
    origin: URL,
    proxy: Proxy | null,
    { signal, timeoutMs }: FetchCall & { readonly timeoutMs: number }
  ): Promise<Socket> {
    const attempt = openSocket({
      origin,
      proxy,
      timeoutMs,
      resolveHost: (host, ended) => this.#resolve(host, proxy, ended),
      tlsSessions: new Map()
    })
    try {
      return await unlessAborted(attempt.ready, signal, () => attempt.giveUp())
    } catch (cause) {
      attempt.giveUp()
      if (!(cause instanceof GatewayError)) throw cause
      // The message is for the operator, and names the proxy.
      throw new FetchRefused(`it could not be reached through the proxy of ${proxy?.setting}`)
    }
  }

  /** Returns only allowed addresses, at the moment of connecting: a later answer cannot differ. */
  async #resolve(
    host: string,
    proxy: Proxy | null,
    signal: AbortSignal
  ): Promise<readonly HostAddress[]> {
    const { lookUp, isAllowedAddress } = this.#options
    const { addresses } = await lookUp(host, signal)
    if (proxy !== null) return addresses // the operator's own choice
    const usable = addresses.filter(({ address }) => isAllowedAddress(address))
    if (usable.length === 0) throw privateAddress()
    return usable
  }
}

function reasonOf(cause: unknown, { timeoutMs }: FetchLimits, signal: AbortSignal): string {
  if (cause instanceof FetchRefused) return cause.message
  if (signal.aborted) return `it took longer than ${timeoutMs / 1000} s`
  return 'it could not be fetched'
}

function ask(url: URL, socket: Socket, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const { host, port } = addressOf(url)
  sendRequest({
    createConnection: () => socket,
    host,
    port,
    path: url.pathname + url.search,
    headers: {
      host: url.host,
      accept: [...ImageTypes, 'application/pdf', 'text/*;q=0.5'].join(', ')
    },
    signal
  })
    .on('response', resolve)
    .on('error', reject)
    .end()
  return promise
}

function redirectTarget(location: string | undefined, from: URL): URL {
  const target = URL.parse(location ?? '', from.href)
  if (target === null) throw new FetchRefused('a redirect leads nowhere')
  return target
}

async function readBytes(
  body: AsyncIterable<Buffer>,
  maxBytes: number,
  admit: FetchCall['admit']
): Promise<Buffer> {
  const blocks = new ByteBlocks()
  for await (const chunk of body) {
    if (blocks.bytes + chunk.byteLength > maxBytes)
      throw new FetchRefused(`it is larger than ${maxBytes} bytes`)
    admit(chunk.byteLength)
    blocks.append(chunk)
  }
  return blocks.take()
}

function toContent(contentType: string | string[] | undefined, content: Buffer): FetchedContent {
  const [mediaType = ''] = String(contentType ?? '')
    .toLowerCase()
    .split(';')
  const type = typeOf(mediaType.trim(), content)
  if (ImageTypes.includes(type)) {
    if (sniffFormat(content.subarray(0, HeadBytes)) === undefined) {
      throw new FetchRefused('it is not a PNG, JPEG, GIF or WebP image')
    }
    return { kind: 'image', mediaType: type, base64: content.toString('base64') }
  }
  if (type === 'application/pdf') return { kind: 'pdf', base64: content.toString('base64') }
  if (type.startsWith('text/')) return { kind: 'text', text: content.toString() }
  throw new FetchRefused('it is neither a PNG, JPEG, GIF or WebP image nor a PDF nor text')
}

/** Many stores call everything bytes, and some servers JPEGs `image/jpg`: then the content decides. */
function typeOf(type: string, content: Buffer): string {
  const isNamed =
    ImageTypes.includes(type) || type === 'application/pdf' || type.startsWith('text/')
  if (isNamed) return type
  const format = sniffFormat(content.subarray(0, HeadBytes))
  if (format !== undefined) return `image/${format}`
  return content.toString('latin1', 0, PdfHead.length) === PdfHead ? 'application/pdf' : type
}

function privateAddress(): FetchRefused {
  return new FetchRefused('its address is not on the public internet')
}
