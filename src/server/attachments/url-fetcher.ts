import { lookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import type { Agent } from 'undici'
import type { FetchedContent } from '../../dialects/attachments.ts'
import { sniffFormat } from '../../dialects/image-content.ts'
import { GatewayError } from '../../shared/errors.ts'

export interface FetchLimits {
  readonly maxBytes: number
  /** For all of one URL: name, connection, redirects, content. */
  readonly timeoutMs: number
}

export interface UrlFetcherOptions {
  readonly limits: () => FetchLimits
  /** Says which IP addresses may be connected to. */
  readonly isAllowedAddress: (address: string) => boolean
}

/** Who wants a URL's content. */
export interface FetchTerms {
  /** Ends the fetch when nobody waits for it any more. */
  readonly signal: AbortSignal
  /** Hears of bytes before they are kept; a GatewayError that it throws ends the fetch. */
  readonly admit: (bytes: number) => void
}

const MaxRedirects = 3
const RedirectStatuses: readonly number[] = [301, 302, 303, 307, 308]
const ImageTypes: readonly string[] = ['image/png', 'image/jpeg', 'image/gif', 'image/webp']

const PdfHead = '%PDF-'

/** Never answered with what an error said: that could hold an address or a header. */
class FetchRefused extends Error {}

/**
 * Fetches what a request names by URL: images, PDFs and text of the public internet. Every address is checked where
 * it is connected to, so that no name and no redirect leads to a private one. Sends nothing but the request line,
 * `host` and `accept`.
 */
export class UrlFetcher {
  readonly #options: UrlFetcherOptions
  #agent: Agent | null = null

  constructor(options: UrlFetcherOptions) {
    this.#options = options
  }

  /** Rejects only by its terms; everything else is `failed` with words for the client. */
  async fetch(url: string, { signal, admit }: FetchTerms): Promise<FetchedContent> {
    const limits = this.#options.limits()
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(limits.timeoutMs)])
    try {
      return await this.#follow(new URL(url), limits.maxBytes, { signal: bounded, admit })
    } catch (cause) {
      signal.throwIfAborted()
      if (cause instanceof GatewayError) throw cause
      return { kind: 'failed', reason: reasonOf(cause, limits, bounded) }
    }
  }

  async close(): Promise<void> {
    await this.#agent?.destroy()
  }

  async #follow(first: URL, maxBytes: number, terms: FetchTerms): Promise<FetchedContent> {
    const { Agent, request } = await import('undici') // 12 MB, which few gateways ever need
    this.#agent ??= new Agent({
      connections: 4,
      pipelining: 1,
      connect: { lookup: checkedLookup(this.#options.isAllowedAddress) },
      keepAliveTimeout: 1000
    })
    const agent = this.#agent
    let url = first
    for (let redirects = 0; redirects <= MaxRedirects; redirects++) {
      this.#check(url)
      const { statusCode, headers, body } = await request(url, {
        dispatcher: agent,
        signal: terms.signal,
        headers: { accept: [...ImageTypes, 'application/pdf', 'text/*;q=0.5'].join(', ') }
      })
      if (!RedirectStatuses.includes(statusCode)) {
        if (statusCode === 200) {
          const content = await readBytes(body, maxBytes, terms.admit)
          return toContent(headers['content-type'], content)
        }
        await body.dump()
        throw new FetchRefused(`the server answered with status ${statusCode}`)
      }
      await body.dump()
      const location = String(headers['location'] ?? '')
      if (!URL.canParse(location, url.href)) throw new FetchRefused('a redirect leads nowhere')
      url = new URL(location, url)
    }
    throw new FetchRefused('too many redirects')
  }

  /** Addresses in the URL itself are not looked up, so they are checked here. */
  #check({ protocol, hostname, username, password }: URL): void {
    if (protocol !== 'http:' && protocol !== 'https:') {
      throw new FetchRefused('only http and https URLs are fetched')
    }
    if (username !== '' || password !== '') {
      throw new FetchRefused('URLs with credentials are not fetched')
    }
    const host = hostname.replace(/^\[|\]$/g, '')
    if (isIP(host) !== 0 && !this.#options.isAllowedAddress(host)) throw privateAddress()
  }
}

function reasonOf(cause: unknown, { timeoutMs }: FetchLimits, signal: AbortSignal): string {
  if (cause instanceof FetchRefused) return cause.message
  if (signal.aborted) return `it took longer than ${timeoutMs / 1000} s`
  return 'it could not be fetched'
}

async function readBytes(
  body: AsyncIterable<Buffer>,
  maxBytes: number,
  admit: FetchTerms['admit']
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw new FetchRefused(`it is larger than ${maxBytes} bytes`)
    admit(chunk.byteLength)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function toContent(contentType: string | string[] | undefined, content: Buffer): FetchedContent {
  const [mediaType = ''] = String(contentType ?? '')
    .toLowerCase()
    .split(';')
  const type = typeOf(mediaType.trim(), content)
  if (ImageTypes.includes(type)) {
    return { kind: 'image', mediaType: type, base64: content.toString('base64') }
  }
  if (type === 'application/pdf') return { kind: 'pdf', base64: content.toString('base64') }
  if (type.startsWith('text/')) return { kind: 'text', text: content.toString() }
  throw new FetchRefused('it is neither a PNG, JPEG, GIF or WebP image nor a PDF nor text')
}

/** Many stores call everything bytes, and some servers JPEGs `image/jpg`: then the bytes themselves tell. */
function typeOf(type: string, content: Buffer): string {
  const isNamed =
    ImageTypes.includes(type) || type === 'application/pdf' || type.startsWith('text/')
  if (isNamed) return type
  const format = sniffFormat(content.subarray(0, 12))
  if (format !== undefined) return `image/${format}`
  return content.toString('latin1', 0, PdfHead.length) === PdfHead ? 'application/pdf' : type
}

function privateAddress(): FetchRefused {
  return new FetchRefused('its address is not on the public internet')
}

/** Gives out only addresses that may be connected to, at the moment of connecting: a later answer can't differ. */
function checkedLookup(isAllowed: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '')
      const allowed = addresses.filter(({ address }) => isAllowed(address))
      const [first] = allowed
      if (first === undefined) return callback(privateAddress(), '')
      if (options.all === true) return callback(null, allowed)
      callback(null, first.address, first.family)
    })
  }
}
