import { Buffer } from 'node:buffer'
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { NOBODY, wordsOf } from './own-words.ts'

/**
 * For `--import`: fills all memory that is allocated without being cleared with the words of nobody, also for libraries, and
 * refuses to write them to a socket. What a program has not written itself is so never taken for somebody's bytes.
 */

const TEXT = wordsOf(NOBODY, 1)
const WORD = Buffer.from(TEXT)
const STDERR = 2

type Allocate = (bytes: number, ...rest: readonly unknown[]) => Buffer
type WriteGeneric = (isMany: boolean, data: unknown, ...rest: readonly unknown[]) => unknown

for (const name of ['allocUnsafe', 'allocUnsafeSlow'] as const) {
  const allocate = Reflect.get(Buffer, name) as Allocate
  const filled: Allocate = (bytes, ...rest) =>
    Reflect.apply(allocate, Buffer, [bytes, ...rest]).fill(WORD)
  Object.assign(Buffer, { [name]: filled })
}

const write = Reflect.get(Socket.prototype, '_writeGeneric') as WriteGeneric
const checked = function (this: Socket, ...args: Parameters<WriteGeneric>): unknown {
  const [isMany, data] = args
  const chunks = isMany ? (data as { chunk: unknown }[]).map((one) => one.chunk ?? one) : [data]
  if (chunks.some(isNobodys)) throw handedOut()
  return Reflect.apply(write, this, args)
}
Object.assign(Socket.prototype, { _writeGeneric: checked })

function isNobodys(chunk: unknown): boolean {
  if (typeof chunk === 'string') return chunk.includes(TEXT)
  return chunk instanceof Uint8Array && asBuffer(chunk).includes(WORD)
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

/** Told on standard error as well: what throws here may be caught. */
function handedOut(): Error {
  const error = new Error('memory that was not written was to be sent')
  writeSync(STDERR, `${TEXT} ${error.stack}\n`)
  return error
}
