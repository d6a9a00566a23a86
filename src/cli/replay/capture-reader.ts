import { lstat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Check } from 'typebox/schema'
import type { ModelFacts } from '../../kiro/models/models.ts'
import { CAPTURE_FILES, CAPTURE_FORMAT } from '../../server/worker/turn-capture.ts'
import { codeOf, operatorError, type GatewayError } from '../../shared/errors.ts'
import { readPrivateFile } from '../../shared/private-files.ts'
import { type Static, Type } from '../../shared/schema-type.ts'
import { parseJson } from '../../shared/json.ts'

const Texts = Type.Unsafe<Readonly<Record<string, string>>>({
  type: 'object',
  additionalProperties: { type: 'string' }
})

const Facts = Type.Object({
  format: Type.Integer(),
  version: Type.String(),
  at: Type.String(),
  requestId: Type.String(),
  status: Type.Integer(),
  cut: Type.Union([Type.String(), Type.Null()]),
  masked: Type.Array(Type.String()),
  inputTokens: Type.Optional(Type.Number()),
  estimatedInputTokens: Type.Union([Type.Number(), Type.Null()]),
  calls: Type.Integer({ minimum: 0, maximum: 1000 }),
  requests: Type.Integer({ minimum: 0, maximum: 1000 }),
  request: Type.Object({
    method: Type.Unsafe<'POST'>({ enum: ['POST'] }),
    url: Type.String(),
    headers: Texts
  }),
  settings: Texts,
  catalogue: Type.Object({
    isLive: Type.Boolean(),
    models: Type.Unsafe<readonly CapturedModel[]>({
      type: 'array',
      maxItems: 1000,
      items: { type: 'object', required: ['id', 'name', 'maxInputTokens', 'takesImages'] }
    })
  })
})

/** Checked only in what every list has. */
export type CapturedModel = Omit<ModelFacts, 'description' | 'lifecycle'>

/** Longer than any stream, and within a timer's range. */
const MAX_MS = 7 * 86_400_000

const At = { at: Type.Number({ minimum: 0, maximum: MAX_MS }) }
const Call = { ...At, call: Type.Integer({ minimum: 1 }) }

/** Line of the timeline, in ms since the request. */
const Happenings = {
  call: Type.Object({
    ...Call,
    kind: Type.Unsafe<'generate' | 'mcp'>({ enum: ['generate', 'mcp'] }),
    form: Type.Unsafe<'path' | 'target'>({ enum: ['path', 'target'] }),
    headers: Texts,
    request: Type.Integer({ minimum: 1 })
  }),
  sent: Type.Object(Call),
  head: Type.Object({
    ...Call,
    status: Type.Integer({ minimum: 200, maximum: 599 }),
    headers: Texts
  }),
  chunk: Type.Object({ ...Call, bytes: Type.Integer({ minimum: 0 }) }),
  end: Type.Object(Call),
  error: Type.Object({ ...Call, code: Type.String(), message: Type.String() }),
  answer: Type.Object({ ...At, bytes: Type.Integer({ minimum: 0 }) })
} as const

type Happening<T extends keyof typeof Happenings> = Static<(typeof Happenings)[T]> & {
  readonly type: T
}
type AnyHappening = { [T in keyof typeof Happenings]: Happening<T> }[keyof typeof Happenings]

export type UpstreamStep = Exclude<AnyHappening, { type: 'call' | 'answer' }>

export interface RecordedCall extends Pick<Happening<'call'>, 'kind' | 'form' | 'headers'> {
  readonly body: Buffer
  readonly answer: Buffer
  readonly steps: readonly UpstreamStep[]
}

export interface RecordedTurn {
  readonly facts: Static<typeof Facts>
  readonly body: Buffer
  readonly answer: Buffer
  readonly calls: readonly RecordedCall[]
}

const MAX_FILE_BYTES = 256 * 1024 * 1024
/** All files are in memory during a replay. */
const MAX_BYTES = 512 * 1024 * 1024
const MAX_FACTS_BYTES = 16 * 1024 * 1024
const MAX_LINES = 1_000_000

/** Opens only plain files with known names, never through links. @throws {GatewayError} GW_CONFIG_INVALID */
export async function readCapture(folder: string): Promise<RecordedTurn> {
  const facts = await readFacts(folder)
  let bytesLeft = MAX_BYTES
  const read = async (name: string): Promise<Buffer> => {
    const bytes = await readFile(folder, name, Math.min(MAX_FILE_BYTES, bytesLeft))
    bytesLeft -= bytes.byteLength
    return bytes
  }
  const { body, answer, timeline } = CAPTURE_FILES
  const happenings = parseTimeline(await read(timeline))
  const bodies: Buffer[] = []
  for (let n = 1; n <= facts.requests; n++) bodies.push(await read(`upstream-request-${n}`))
  const calls: RecordedCall[] = []
  const byCall = Map.groupBy(
    happenings.filter((one) => one.type !== 'answer'),
    ({ call }) => call
  )
  for (let n = 1; n <= facts.calls; n++) {
    const own = byCall.get(n) ?? []
    const begin = own.find((one) => one.type === 'call')
    const request = begin === undefined ? undefined : bodies[begin.request - 1]
    if (begin === undefined || request === undefined) throw truncated(timeline)
    const steps = own.filter((one) => one.type !== 'call')
    const bytes = sumOf(steps)
    const file = `upstream-answer-${n}`
    const got = bytes === 0 ? Buffer.alloc(0) : await read(file)
    if (got.byteLength !== bytes) throw truncated(file)
    const { kind, form, headers } = begin
    calls.push({ kind, form, headers, body: request, answer: got, steps })
  }
  const answerBytes = sumOf(happenings.filter((one) => one.type === 'answer'))
  const said = answerBytes === 0 ? Buffer.alloc(0) : await read(answer)
  if (said.byteLength !== answerBytes) throw truncated(answer)
  return { facts, body: await read(body), answer: said, calls }
}

async function readFacts(folder: string): Promise<Static<typeof Facts>> {
  const found = await lstat(folder).catch((cause: unknown) => {
    throw operatorError(`${folder} cannot be read (${codeOf(cause)}).`)
  })
  if (found.isSymbolicLink())
    throw operatorError(`${folder} is a symbolic link. Give the folder itself.`)
  if (!found.isDirectory()) {
    throw operatorError(`${folder} is not a folder. A capture is a folder in DEBUG_DIR/captures.`)
  }
  const name = 'capture.json'
  if (
    basename(folder).endsWith('.open') &&
    (await lstat(join(folder, name)).catch(() => null)) === null
  ) {
    throw operatorError(
      `${folder} is incomplete: the request is still running, or the gateway was killed while it ran.`
    )
  }
  const facts = parseJson((await readFile(folder, name, MAX_FACTS_BYTES)).toString())
  const format: unknown = Reflect.get(Object(facts), 'format')
  if (typeof format === 'number' && format > CAPTURE_FORMAT) {
    const version: unknown = Reflect.get(Object(facts), 'version')
    throw operatorError(
      `${folder} was made by a newer version (${String(version).slice(0, 40)}), which this version cannot read.`
    )
  }
  if (format !== CAPTURE_FORMAT || !Check(Facts, facts)) {
    throw operatorError(`${folder} is not a capture of this program: its ${name} is not valid.`)
  }
  if (facts.cut !== null) {
    throw operatorError(
      `${folder} was cut off, because ${facts.cut.slice(0, 200)}, and cannot be replayed. DEBUG_CONTENT_MAX_BYTES limits the size of captures.`
    )
  }
  return facts
}

function parseTimeline(bytes: Buffer): readonly AnyHappening[] {
  const lines = bytes.toString().split('\n')
  if (lines.pop() !== '') throw truncated(CAPTURE_FILES.timeline)
  if (lines.length > MAX_LINES)
    throw operatorError('The timeline of the capture has too many lines.')
  return lines.map((line, index) => {
    const parsed = parseJson(line)
    if (isHappening(parsed)) return parsed
    throw operatorError(
      `Line ${index + 1} of ${CAPTURE_FILES.timeline} was not written by this program.`
    )
  })
}

function isHappening(value: unknown): value is AnyHappening {
  const type: unknown = Reflect.get(Object(value), 'type')
  const known = Object.entries(Happenings).find(([name]) => name === type)
  return known !== undefined && Check(known[1], value)
}

function sumOf(happenings: readonly AnyHappening[]): number {
  return happenings.reduce((sum, one) => sum + ('bytes' in one ? one.bytes : 0), 0)
}

async function readFile(folder: string, name: string, maxBytes: number): Promise<Buffer> {
  try {
    return await readPrivateFile(join(folder, name), maxBytes)
  } catch (cause) {
    const code = codeOf(cause)
    const why = WHY[code] ?? `it cannot be read (${code})`
    throw operatorError(`${join(folder, name)}: ${why}. The capture cannot be replayed.`, cause)
  }
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'it is missing',
  ELOOP: 'it is a symbolic link, which is not followed',
  EINVAL: 'it is not a plain file',
  ENXIO: 'it is not a plain file',
  EISDIR: 'it is not a plain file',
  EFBIG: 'it is too large for a file of a capture',
  EACCES: 'only its owner may read it'
}

function truncated(file: string): GatewayError {
  return operatorError(`${file} of the capture is truncated: some of its data is missing.`)
}
