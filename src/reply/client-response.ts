import type { ServerResponse } from 'node:http'

type ResponseEvent = 'close' | 'drain' | 'finish' | 'unread'

/** The client's end of an answer: Node's own response, or one that writes frames to a WebSocket. */
export interface ClientResponse
  extends Pick<
    ServerResponse,
    | 'chunkedEncoding'
    | 'cork'
    | 'destroyed'
    | 'headersSent'
    | 'socket'
    | 'statusCode'
    | 'uncork'
    | 'writableCorked'
    | 'writableEnded'
    | 'writableFinished'
    | 'writableLength'
    | 'writableNeedDrain'
  > {
  destroy(): unknown
  emit(event: ResponseEvent): boolean
  end(text?: string | Uint8Array): unknown
  off(event: ResponseEvent, listener: () => void): this
  once(event: ResponseEvent, listener: () => void): this
  setHeader(name: string, value: string): this
  write(text: string | Uint8Array): boolean
  writeHead(status: number, headers: Readonly<Record<string, number | string>>): this
}
