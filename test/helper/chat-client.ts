import { type ClientRequest, type IncomingHttpHeaders, request } from 'node:http'

export interface ChatAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The socket broke before the answer was over. */
  readonly isCut: boolean
}

export interface ChatCall {
  readonly answer: Promise<ChatAnswer>
  /** Resolves with the first bytes of the answer's body. */
  readonly firstBytes: Promise<void>
  readonly request: ClientRequest
}

/** A streamed chat completion over a connection of its own, read to the end whatever happens. */
export function startChat(
  url: string,
  prompt: string,
  options: { readonly headers?: Record<string, string> } = {}
): ChatCall {
  const first = Promise.withResolvers<void>()
  first.promise.catch(() => {})
  const { promise, resolve } = Promise.withResolvers<ChatAnswer>()
  const call = request(`${url}/v1/chat/completions`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', ...options.headers }
  })
  call.on('response', (response) => {
    const { statusCode: status = 0, headers } = response
    let text = ''
    let isCut = false
    response.setEncoding('utf8')
    response.on('data', (piece: string) => {
      text += piece
      first.resolve()
    })
    response.on('error', () => {
      isCut = true
    })
    response.on('close', () => {
      first.reject(new Error('the answer had no body'))
      resolve({ status, headers, text, isCut: isCut || !response.complete })
    })
  })
  call.on('error', () => {
    first.reject(new Error('there was no answer'))
    resolve({ status: 0, headers: {}, text: '', isCut: true })
  })
  call.end(
    JSON.stringify({
      model: 'claude-sonnet-4.6',
      stream: true,
      messages: [{ role: 'user', content: prompt }]
    })
  )
  return { answer: promise, firstBytes: first.promise, request: call }
}

/** A stream that came to its regular end. */
export function isComplete({ status, text, isCut }: ChatAnswer): boolean {
  return status === 200 && !isCut && text.endsWith('data: [DONE]\n\n')
}
