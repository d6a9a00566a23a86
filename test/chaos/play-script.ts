import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { endFrames, firstFrame, wordFrame } from './answer-frames.ts'
import type { Script } from './faults.ts'

export interface Scene {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly socket: Socket
  /** What the client put into its prompt. */
  readonly id: string
  readonly reset: (socket: Socket) => void
}

const AnswerHeaders = { 'content-type': 'application/vnd.amazon.eventstream' }
const Refusals = {
  429: { __type: 'ThrottlingException', message: 'Too many requests.' },
  500: { __type: 'InternalServerException', message: 'Something broke.' },
  503: { __type: 'ServiceUnavailableException', message: 'Try later.' }
}

/** Does with one request what the script says. */
export function playScript(scene: Scene, script: Script): void {
  const { response, socket, reset } = scene
  switch (script.name) {
    case 'answer':
      playAnswer(scene, script)
      break
    case 'status':
      response.writeHead(script.status, {
        'content-type': 'application/json',
        ...(script.isClosing ? { connection: 'close' } : {})
      })
      response.end(JSON.stringify(Refusals[script.status]))
      break
    case 'reset-before-headers':
      setTimeout(() => reset(socket), script.afterMs)
      break
    case 'stall-before-headers':
      break // until the gateway loses its patience
  }
}

function playAnswer(scene: Scene, script: Script & { readonly name: 'answer' }): void {
  const { response, id } = scene
  const isClosing = script.end === 'whole-and-close'
  let next = 0
  let timer = setTimeout(() => step(), script.firstMs)
  response.once('close', () => clearTimeout(timer))
  const step = (): void => {
    if (next === 0) {
      response.writeHead(200, { ...AnswerHeaders, ...(isClosing ? { connection: 'close' } : {}) })
      response.write(firstFrame(id))
    }
    for (;;) {
      if (next === script.sent) break
      response.write(wordFrame(next++))
      if (script.gapMs === 0) continue
      timer = setTimeout(step, script.gapMs)
      return
    }
    endAnswer(scene, script)
  }
}

function endAnswer(
  { response, socket, reset }: Scene,
  { end, words }: Script & { readonly name: 'answer' }
): void {
  switch (end) {
    case 'whole':
    case 'whole-and-close':
      response.end(endFrames(words))
      break
    case 'reset':
      reset(socket)
      break
    case 'fin':
      socket.end()
      break
    case 'stall':
      break
  }
}
