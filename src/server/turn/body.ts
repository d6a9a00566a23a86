import type { Config } from '../../config/settings.ts'
import { type Conversion, type DialectName, Dialects } from '../../dialects/dialect.ts'
import type { FetchedContent } from '../../dialects/request/attachments.ts'
import type { JsonSpan } from '../../dialects/openai-responses/json-spans.ts'
import { inputIdOf } from '../../dialects/openai-responses/stored-response.ts'
import { invalidBody } from '../../dialects/plan/json-body.ts'
import { PDF_TOO_COSTLY } from '../../dialects/request/pdf.ts'
import type {
  ClientMarks,
  RequestOptions,
  ConvertedRequest
} from '../../dialects/request/to-upstream.ts'
import { isEncryptedPdf } from '../../kiro/conversation/documents.ts'
import type { SettledTurns } from '../../dialects/request/settling.ts'
import type { NamedKey } from '../../keys/key.ts'
import { UpstreamLimits } from '../../kiro/rules/rules.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { ConvertJob, GotAttachments, PdfText } from '../../transform/transform-job.ts'
import type { JobOwner, TransformPool } from '../../transform/transform-pool.ts'
import { CallWay } from '../ask/call-way.ts'
import type { BodyMemory } from './body-memory.ts'
import { copyTools, type KeptTurns, nextTurns, withoutTools } from './kept-turns.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { BodyRoom } from '../body/request-body.ts'
import type { FetchCall, UrlFetcher } from '../body/url-fetcher.ts'

export interface ClientBody {
  readonly dialect: DialectName
  /** Taken: a thread may get its bytes. */
  readonly body: Uint8Array
  /** Place of the value of its tools; `null` if it has none or that is not known. */
  readonly tools?: JsonSpan | null
  readonly memory: BodyMemory
  readonly key: string
  readonly place: string
  /** `null` for a key that has no limits. */
  readonly namedKey: NamedKey | null
  readonly marks?: ClientMarks
  readonly earlier?: EarlierConversation | null
  /** The request is a call to compact its conversation. */
  readonly isCompactCall?: boolean
}

/** Conversation that a request goes on from, kept by its connection, as one of its stored answers. */
export interface EarlierConversation {
  readonly bytes: number
  /** Copies it, when there is room, without the first `parts`; `null` if it was dropped meanwhile. */
  readonly copy: (parts?: number) => Uint8Array | null
  /** Finds the turns that need not be converted again; `null` if there are none any more. */
  readonly turns?: () => KeptTurns | null
}

export interface ConvertedBody extends ConvertedRequest {
  /** Turns that later requests may go on from; of conversations that a connection keeps. */
  readonly turns: KeptTurns | null
}

/** @throws {GatewayError} what the request deserves, and all of `TransformPool.run()` */
export async function convertClientBody(
  plane: DataPlane,
  client: ClientBody,
  signal: AbortSignal
): Promise<ConvertedBody> {
  const { dialect, memory, key, place, namedKey, marks } = client
  const common = {
    ...requestOptionsOf(plane, namedKey),
    ...wayNow(plane),
    owner: key,
    compaction: { keys: plane.compactionKeys, owner: key, isCall: client.isCompactCall === true }
  }
  const marked = marks === undefined ? common : { ...common, marks }
  const owner = { key: place, signal }
  const jobOf = (body: Uint8Array, options: Partial<RequestOptions>): ConvertJob => {
    return { type: 'convert', dialect, body, options: { ...marked, ...options } }
  }
  let { body } = client
  const known = await findTurns(plane, client)
  if (known !== null) {
    const { turns, news, before } = known
    const light = withoutTools(client, turns)
    const job = { answers: [news], before: { ...before, tools: light?.tools } }
    const tools = light === null ? copyTools(client) : null // before a thread may get its bytes
    const made = await convertWithAttachments(plane, jobOf(light?.body ?? body, job), memory, owner)
    if (made.type === 'converted') return { ...made, turns: nextTurns(made, turns, tools) }
    if (light === null) ({ body } = made)
  }
  const job = jobOf(body, { answers: await referencedAnswers(plane, { ...client, body }) })
  const { earlier } = client
  const tools = earlier ? copyTools({ ...client, body }) : null
  const made = await convertWithAttachments(plane, job, memory, owner)
  if (made.type !== 'converted') throw new Error('it was the whole conversation')
  return { ...made, turns: earlier ? nextTurns(made, null, tools) : null }
}

interface KnownTurns {
  readonly turns: KeptTurns
  /** Copy of what follows them. */
  readonly news: Uint8Array
  readonly before: SettledTurns
}

/**
 * Waits for memory for the whole conversation, which covers the turns if they are dropped from now on. `null` if nothing is
 * known, or the request refers to other answers.
 */
async function findTurns(
  plane: Pick<DataPlane, 'current'>,
  { dialect, body, memory, earlier }: ClientBody
): Promise<KnownTurns | null> {
  if (!earlier?.turns?.()) return null
  if ((Dialects[dialect].itemReferencesOf?.(body) ?? []).length > 0) return null
  await admitWith(plane, { body, memory }, earlier.bytes)
  const turns = earlier.turns()
  const news = turns === null ? null : earlier.copy(turns.parts)
  if (turns === null || news === null) return null
  if ((Dialects[dialect].itemReferencesOf?.(news) ?? []).length > 0) return null
  const bytes = Math.max(0, earlier.bytes - news.byteLength)
  const { settled, text, pieces } = turns
  return { turns, news, before: { settled, text, pieces, bytes } }
}

/** Hosts that were never seen to take documents (kiro-protocol §4.15). */
const OLD_HOST = /^https:\/\/(?:q|codewhisperer)\./i

/** Form and refusals as known now. If they change, the payload is rewritten. */
function wayNow(plane: DataPlane): Pick<RequestOptions, 'form' | 'refused'> {
  const { credentials, conversations } = plane
  if (credentials.problem !== null) return { form: 'path' }
  const { form, snapshot } = new CallWay(plane, 'generate')
  return { form, refused: { account: snapshot.id, lessons: conversations.lessons() } }
}

export function requestOptionsOf(
  plane: Pick<DataPlane, 'current' | 'models'>,
  key: Pick<NamedKey, 'name' | 'models'> | null
): RequestOptions {
  const config = plane.current.config
  const { models, isLive } = plane.models.catalogue
  return {
    aliases: config.models.aliases,
    models,
    isCatalogueLive: isLive,
    windows: config.models.windows,
    ...(key?.models != null && { access: { keyName: key.name, patterns: key.models } }),
    sendsDocuments: config.tools.sendsDocuments && !OLD_HOST.test(config.upstream.apiUrl ?? ''),
    toolDescriptionMaxLength: config.tools.descriptionMaxLength,
    toolMaxCount: config.tools.maxCount,
    servesWebSearch: config.tools.webSearch,
    fakeReasoning: config.reasoning
  }
}

export interface AttachmentPlane {
  readonly transforms: Pick<TransformPool, 'run' | 'readPdf'>
  readonly fetcher: Pick<UrlFetcher, 'fetch'>
  readonly current: { readonly config: Pick<Config, 'fetch'> }
}

const MAX_URLS = 20

/**
 * Only a job that goes on from other turns may need the whole conversation.
 * @throws {GatewayError} GW_MEMORY_FULL without room for what was fetched, and all of `TransformPool.run()`
 */
export async function convertWithAttachments(
  plane: AttachmentPlane,
  job: ConvertJob,
  room: BodyRoom,
  owner: JobOwner
): Promise<Exclude<Conversion, { type: 'room-needed' | 'attachments-needed' }>> {
  const first = await runInRoom(plane, job, room, owner)
  if (first.type !== 'attachments-needed') return first
  const { body, answers, needs } = first
  const admit = admitInto(room, body.byteLength)
  const { key, signal } = owner
  const fetched = await fetchAll(plane, needs.urls, { key, signal, admit })
  const { pdfs, documentUrls = [] } = needs
  const attachments = await readPdfs(plane, { fetched, pdfs, documentUrls }, { owner, admit })
  const options = { ...job.options, answers }
  const second = await runInRoom(plane, { ...job, body, options, attachments }, room, owner)
  if (second.type === 'attachments-needed') throw new Error('attachments are needed again')
  return second
}

/**
 * Converts again if the payload needs more memory: with its lower bound reserved, and at most once more
 * with its size.
 */
async function runInRoom(
  plane: AttachmentPlane,
  job: ConvertJob,
  room: BodyRoom,
  owner: JobOwner
): Promise<Exclude<Conversion, { type: 'room-needed' }>> {
  const options = { payloadRoomBytes: 0, ...job.options }
  const result = await plane.transforms.run({ ...job, options }, owner)
  if (result.type !== 'room-needed') return result
  const { body, answers, payloadBytes, bodyBytes } = result
  room.growForPayload(payloadBytes, bodyBytes)
  const more = { ...options, answers, payloadRoomBytes: payloadBytes }
  return runInRoom(plane, { ...job, body, options: more }, room, owner)
}

const MAX_COSTLY_PDFS = 2

interface PdfLimits {
  readonly owner: JobOwner
  /** Takes the bytes of what was read. */
  readonly admit: FetchCall['admit']
}

interface UnreadAttachments {
  readonly fetched: Readonly<Record<string, FetchedContent>>
  readonly pdfs: readonly Uint8Array[]
  /** Sent natively, so not read. */
  readonly documentUrls: readonly string[]
}

/**
 * Waits for a turn for each.
 * @throws {GatewayError} GW_BODY_INVALID for several that take too much
 */
async function readPdfs(
  { transforms }: AttachmentPlane,
  { fetched, pdfs, documentUrls }: UnreadAttachments,
  { owner, admit }: PdfLimits
): Promise<GotAttachments> {
  let costly = 0
  const read = async (bytes: Uint8Array): Promise<PdfText> => {
    const text = await transforms.readPdf(bytes, owner)
    if (text.kind === 'utf8') admit(text.bytes.byteLength)
    else if (text.reason === PDF_TOO_COSTLY && ++costly >= MAX_COSTLY_PDFS)
      throw invalidBody('The PDFs of this request take too long to read.')
    return text
  }
  const texts: PdfText[] = []
  for (const bytes of pdfs) texts.push(await read(bytes))
  const contents: Record<string, GotAttachments['fetched'][string]> = {}
  let sentChars = 0
  for (const [url, content] of Object.entries(fetched)) {
    if (content.kind !== 'pdf') contents[url] = content
    else if (documentUrls.includes(url) && isSendable(content, sentChars)) {
      sentChars += content.base64.length
      contents[url] = content
    } else contents[url] = await read(ofBase64(content.base64))
  }
  return { fetched: contents, pdfs: texts }
}

/** `besideChars`: of other documents. */
function isSendable({ base64 }: { readonly base64: string }, besideChars: number): boolean {
  const fits = base64.length + besideChars <= UpstreamLimits.documentChars
  return fits && !isEncryptedPdf(Buffer.from(base64, 'base64'))
}

function ofBase64(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}

/** Reservation while content arrives. */
const STEP_BYTES = 256 * 1024
/** Content is held as base64. */
const BASE64_FACTOR = 4 / 3

/** Reserves memory for fetched content before it is kept, as its size is unknown. */
function admitInto(room: BodyRoom, bodyBytes: number): FetchCall['admit'] {
  let fetchedBytes = 0
  let admittedBytes = 0
  return (bytes) => {
    fetchedBytes += bytes
    if (fetchedBytes <= admittedBytes) return
    admittedBytes = Math.ceil(fetchedBytes / STEP_BYTES) * STEP_BYTES
    room.grow(bodyBytes + Math.ceil(admittedBytes * BASE64_FACTOR))
  }
}

async function fetchAll(
  plane: AttachmentPlane,
  urls: readonly string[],
  { key, signal, admit }: FetchCall
): Promise<Readonly<Record<string, FetchedContent>>> {
  if (urls.length > MAX_URLS) {
    throw invalidBody(
      `At most ${MAX_URLS} images or documents can be given by URL; the request has ${urls.length}.`
    )
  }
  const { isEnabled } = plane.current.config.fetch
  const failed = new AbortController()
  const call = { key, signal: AbortSignal.any([signal, failed.signal]), admit }
  try {
    const contents = await Promise.all(
      urls.map(async (url): Promise<readonly [string, FetchedContent]> => {
        if (isEnabled) return [url, await plane.fetcher.fetch(url, call)]
        return [url, { kind: 'failed', reason: 'URLs are not fetched here (FETCH_URLS=false)' }]
      })
    )
    return Object.fromEntries(contents)
  } catch (cause) {
    failed.abort(cause)
    throw cause
  }
}

/**
 * Finds only answers of the same key. Most bodies refer to nothing, which costs a search through their
 * bytes. Waits for memory like a body of their size.
 * @throws {GatewayError} GW_BODY_TOO_LARGE, GW_MEMORY_FULL if body and answers are too large together
 */
export async function referencedAnswers(
  plane: Pick<DataPlane, 'items' | 'current'>,
  {
    dialect,
    body,
    key,
    memory,
    earlier = null
  }: Omit<ClientBody, 'memory' | 'place' | 'namedKey'> & { readonly memory: BodyRoom }
): Promise<readonly Uint8Array[]> {
  const ids = Dialects[dialect].itemReferencesOf?.(body) ?? []
  const previous = earlier === null ? (Dialects[dialect].previousIdsOf?.(body) ?? []) : []
  if (ids.length + previous.length === 0 && earlier === null) return []
  let moreBytes = earlier?.bytes ?? 0
  const admit = (bytes: number): Promise<void> => {
    moreBytes += bytes
    return admitWith(plane, { body, memory }, moreBytes)
  }
  const wanted = [...ids, ...(await conversationIds(plane, key, previous))]
  const stored = wanted.length === 0 ? [] : [...(await plane.items.find(key, wanted, admit))]
  if (previous.length > 0) {
    // What was asked may refer to items of other answers.
    const known = new Set(wanted)
    const referred = stored.flatMap((file) => Dialects[dialect].itemReferencesOf?.(file) ?? [])
    const more = referred.filter((id) => !known.has(id))
    stored.push(...(await plane.items.find(key, more, admit)))
  }
  if (earlier === null) return stored
  await admit(0)
  const copy = earlier.copy()
  if (copy === null) return stored
  const before = Dialects[dialect].itemReferencesOf?.(copy) ?? []
  const missing = before.filter((id) => !wanted.includes(id))
  if (missing.length > 0) stored.push(...(await plane.items.find(key, missing, admit)))
  return [...stored, copy]
}

/** Ids of all that is stored of the conversations up to these responses. */
async function conversationIds(
  plane: Pick<DataPlane, 'items'>,
  owner: string,
  previous: readonly string[]
): Promise<readonly string[]> {
  const ids = new Set<string>()
  for (const responseId of previous) {
    const before = await plane.items.beforeOf({ owner, responseId })
    if (before === null) continue
    for (const id of [...before, responseId]) ids.add(id).add(inputIdOf(id))
  }
  return [...ids]
}

/** Waits for memory for what a body comes with. */
async function admitWith(
  plane: Pick<DataPlane, 'current'>,
  { body, memory }: { readonly body: Uint8Array; readonly memory: BodyRoom },
  bytes: number
): Promise<void> {
  const maxBytes = Math.min(plane.current.config.server.maxBodyBytes, memory.largestBytes)
  const wholeBytes = body.byteLength + bytes
  if (wholeBytes > maxBytes) throw tooLarge(maxBytes)
  if (bytes > 0) await memory.extend(wholeBytes)
}

function tooLarge(maxBytes: number): GatewayError {
  const message =
    `The request and the stored answers it refers to are together larger than ${maxBytes} bytes. That is MAX_BODY_BYTES, ` +
    'or the most that fits into memory.'
  return new GatewayError('GW_BODY_TOO_LARGE', undefined, { message })
}
