import { isUtf8 } from 'node:buffer'
import { UpstreamLimits } from '../rules/rules.ts'
import { isBlank } from '../wire/message.ts'
import type {
  DocumentFormat,
  HistoryEntry,
  UpstreamDocument,
  UpstreamPayload,
  UserInputMessage
} from '../wire/payload.ts'

/** A format's names in file names and media types, and how its files begin (kiro-protocol §4.15). */
interface Kind {
  readonly format: DocumentFormat
  readonly extensions: readonly string[]
  readonly mediaTypes: readonly string[]
  readonly magic?: string
}

const ZIP = 'PK\x03\x04'
const OLE = '\xd0\xcf\x11\xe0'
const OPEN_XML = 'application/vnd.openxmlformats-officedocument.'

const KINDS: readonly Kind[] = [
  kind('pdf', ['application/pdf'], { magic: '%PDF-' }),
  kind('docx', [`${OPEN_XML}wordprocessingml.document`], { magic: ZIP }),
  kind('xlsx', [`${OPEN_XML}spreadsheetml.sheet`], { magic: ZIP }),
  kind('doc', ['application/msword'], { magic: OLE }),
  kind('xls', ['application/vnd.ms-excel'], { magic: OLE }),
  kind('csv', ['text/csv', 'application/csv']),
  kind('html', ['text/html'], { extensions: ['html', 'htm'] }),
  kind('md', ['text/markdown', 'text/x-markdown'], { extensions: ['md', 'markdown'] }),
  kind('txt', ['text/plain'])
]

function kind(
  format: DocumentFormat,
  mediaTypes: readonly string[],
  more: { readonly magic?: string; readonly extensions?: readonly string[] } = {}
): Kind {
  return { format, mediaTypes, extensions: [format], ...more }
}

const MAX_LOOKED_AT_CHARS = 1000

export function formatOf(mediaType: string, name: string): DocumentFormat | null {
  const type = mediaType.slice(0, MAX_LOOKED_AT_CHARS).split(';')[0]?.trim().toLowerCase() ?? ''
  const named = KINDS.find(({ mediaTypes }) => mediaTypes.includes(type))
  // Many programs send every file as octet-stream.
  const isOpen = type === '' || type === 'application/octet-stream'
  const extension = isOpen ? extensionOf(name) : ''
  return (named ?? KINDS.find(({ extensions }) => extensions.includes(extension)))?.format ?? null
}

export function isTextFormat(format: DocumentFormat): boolean {
  return KINDS.find((one) => one.format === format)?.magic === undefined
}

/** Checks the beginning of a file; a text must be UTF-8 without NUL and mostly printable. */
export function isOfFormat(bytes: Buffer, format: DocumentFormat): boolean {
  const { magic } = KINDS.find((one) => one.format === format) ?? {}
  if (magic !== undefined) return bytes.toString('latin1', 0, magic.length) === magic
  return !bytes.includes(0) && isUtf8(bytes) && !isMostlyControl(bytes)
}

/** Control characters take six characters of JSON each, if a document goes as text. */
const MAX_CONTROL_SHARE = 0.1
const MAX_CONTROLS = 1000
const SPACE = 0x20
const TAB = 0x09
const CARRIAGE_RETURN = 0x0d

function isMostlyControl(bytes: Buffer): boolean {
  let controls = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    if (byte < SPACE && (byte < TAB || byte > CARRIAGE_RETURN)) controls++
  }
  return controls > Math.max(MAX_CONTROLS, bytes.length * MAX_CONTROL_SHARE)
}

export function isTooLarge(base64: string): boolean {
  return base64.length > UpstreamLimits.documentChars
}

const ENCRYPTED = /\/Encrypt[\s\0]*(?:\d|<<)/

export function isEncryptedPdf(bytes: Buffer): boolean {
  return bytes.includes('/Encrypt') && ENCRYPTED.test(bytes.toString('latin1'))
}

const MAX_NAME_CHARS = 200

export function toDocumentName(title: string): string {
  const last = title.slice(-MAX_LOOKED_AT_CHARS).split(/[/\\]/).at(-1) ?? ''
  const extension = extensionOf(last)
  const isKnown = KINDS.some(({ extensions }) => extensions.includes(extension))
  const bare = isKnown ? last.slice(0, -extension.length - 1) : last
  const plain = bare
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .replaceAll(/[^A-Za-z0-9 \-_()[\]]/gu, '-')
    .replaceAll(/ +/g, ' ')
    .trim()
  return plain.slice(0, MAX_NAME_CHARS).trim() || 'document'
}

function extensionOf(name: string): string {
  const dot = name.lastIndexOf('.')
  return dot < 0 ? '' : name.slice(dot + 1).toLowerCase()
}

const MAX_STEM_CHARS = MAX_NAME_CHARS - ' (9999999)'.length

/** Makes document names unique within a request: the second of a name is `… (2)`. */
export class DocumentNames {
  readonly #taken = new Set<string>()
  /** Last number used for each name, keyed by the name cut to leave room for it. */
  readonly #numbers = new Map<string, number>()

  take(title: string): string {
    const name = toDocumentName(title)
    let own = name
    // Clients may have numbered names alike.
    while (this.#taken.has(own)) own = this.#number(name.slice(0, MAX_STEM_CHARS).trim())
    this.#taken.add(own)
    return own
  }

  #number(stem: string): string {
    const number = (this.#numbers.get(stem) ?? 1) + 1
    this.#numbers.set(stem, number)
    return `${stem} (${number})`
  }
}

/** Chooses the newest documents that are few and small enough, by the length of their base64. */
export function sentAsTheyAre(chars: readonly number[]): readonly boolean[] {
  let [count, sum] = [0, 0]
  return chars
    .toReversed()
    .map((size) => {
      if (count >= UpstreamLimits.documents || sum + size > UpstreamLimits.documentChars)
        return false
      count++
      sum += size
      return true
    })
    .toReversed()
}

export function documentNote(name: string, format: string): string {
  return `[Document "${name}" (${format}) was attached here.]`
}

export function documentsIn({ conversationState }: UpstreamPayload): readonly UpstreamDocument[] {
  const { history = [], currentMessage } = conversationState
  return [...history, currentMessage].flatMap((entry) =>
    'userInputMessage' in entry ? (entry.userInputMessage.documents ?? []) : []
  )
}

/** Replaces each document by a text behind its message, in the order of `documentsIn()`. */
export function withoutDocuments(
  payload: UpstreamPayload,
  texts: readonly string[]
): UpstreamPayload {
  const left = [...texts]
  const write = ({ documents = [], ...message }: UserInputMessage): UserInputMessage => {
    const words = left.splice(0, documents.length).join('\n\n')
    if (words === '') return message
    const { content } = message
    return { ...message, content: isBlank(content) ? words : `${content}\n\n${words}` }
  }
  const { history, currentMessage, ...state } = payload.conversationState
  const writeEntry = (entry: HistoryEntry): HistoryEntry =>
    'userInputMessage' in entry ? { userInputMessage: write(entry.userInputMessage) } : entry
  return {
    ...payload,
    conversationState: {
      ...state,
      ...(history !== undefined && { history: history.map(writeEntry) }),
      currentMessage: { userInputMessage: write(currentMessage.userInputMessage) }
    }
  }
}
