import {
  asJsonObject,
  isJsonObject,
  type JsonDraft,
  type JsonObject,
  objectsIn,
  resolvePointer,
  setOwn,
  splitPointer,
  textMember,
  toPointer
} from '../../shared/json.ts'

/** A part of a client's request that can be left out: a value, or a stretch of a text. */
export interface Part {
  /** RFC 6901, into the body. */
  readonly pointer: string
  /** Characters of a text, from and to; missing for a whole value. */
  readonly range?: readonly [from: number, to: number]
}

export interface Selection {
  readonly kept: readonly Part[]
  /** Values that keep what names them (role, type, name, id), whatever of them is kept. */
  readonly framed?: readonly Part[]
  readonly leftOut?: readonly Part[]
}

/** Lists whose items are parts of their own from the start. */
const LISTS = ['tools', 'functions', 'messages', 'input'] as const
const CONVERSATIONS = ['messages', 'input'] as const
/** Without these there is no request, or another answer to wait for. */
const ALWAYS = new Set(['model', 'stream', 'stream_options'])
/** Members that make an object what it is; it cannot do without them. */
const FRAME = new Set(
  'role type name id call_id tool_call_id tool_use_id is_error status namespace'
    .concat(' function custom json_schema source image_url file file_data filename media_type')
    .split(' ')
)
/** Frames whose own members are parts. */
const WRAPPERS = new Set(['function', 'custom', 'json_schema'])
/** Members whose text can be cut anywhere. */
const TEXTS = new Set('content text system instructions description output'.split(' '))
const SCHEMAS = new Set(['parameters', 'input_schema', 'schema'])

const STRETCHES = 8
const SMALLEST_STRETCH = 24

/** Takes a request apart and puts some of its parts together again. The body is not changed. */
export class RequestParts {
  readonly #body: JsonObject
  readonly #tools: ReadonlyMap<string, string>
  readonly #calls: ReadonlyMap<string, Call>
  readonly #results: readonly Result[]

  constructor(body: JsonObject) {
    this.#body = body
    const found = new ToolTurns()
    for (const name of CONVERSATIONS) found.visit(body[name], [name])
    this.#calls = found.calls
    this.#results = found.results
    this.#tools = new Map(
      ['tools', 'functions'].flatMap((list) =>
        objectsIn(body[list]).map((tool, index) => [
          nameOf(tool),
          toPointer('', [list, `${index}`])
        ])
      )
    )
  }

  /** Returns the request's parts in order: what stands alone first, the conversation last. */
  roots(): readonly Part[] {
    const names = Object.keys(this.#body).filter((name) => !ALWAYS.has(name))
    return names
      .toSorted((a, b) => rank(a) - rank(b))
      .flatMap((name) => {
        const value = this.#body[name]
        const part = { pointer: toPointer('', [name]) }
        return Array.isArray(value) && rank(name) >= 0 ? this.partsOf(part) : [part]
      })
  }

  /** Returns the parts of a part; none if it cannot be divided. */
  partsOf({ pointer, range }: Part): readonly Part[] {
    const value = resolvePointer(this.#body, pointer)
    const names = splitPointer(pointer)
    if (typeof value === 'string') return stretchesOf(value, pointer, range)
    if (Array.isArray(value)) {
      return value.map((_, index) => ({ pointer: toPointer(pointer, [`${index}`]) }))
    }
    const isOfSchema = names.some((name) => SCHEMAS.has(name))
    return Object.entries(asJsonObject(value) ?? {}).flatMap(([name, member]) => {
      const part = { pointer: toPointer(pointer, [name]) }
      if (isOfSchema ? name !== 'type' : !FRAME.has(name)) return [part]
      return !isOfSchema && WRAPPERS.has(name) && isJsonObject(member) ? this.partsOf(part) : []
    })
  }

  valueOf({ pointer, range }: Part): unknown {
    const value = resolvePointer(this.#body, pointer)
    return range !== undefined && typeof value === 'string' ? value.slice(...range) : value
  }

  /**
   * Makes a request of these parts. A result brings its call along, and a call its tool, as bare as they can be. Where
   * nothing of the conversation is kept, the user says "Hi.".
   */
  compose({ kept, framed = [], leftOut = [] }: Selection): JsonObject {
    const marks = new Marks(kept, leftOut)
    for (const { pointer } of [...kept, ...framed]) marks.open(pointer)
    for (const { pointer, id } of this.#results) {
      const call = this.#calls.get(id)
      if (call !== undefined && marks.isPresent(pointer)) marks.open(call.pointer)
    }
    for (const { pointer, name } of this.#calls.values()) {
      const tool = this.#tools.get(name)
      if (tool !== undefined && marks.isPresent(pointer)) marks.open(tool)
    }
    const made: JsonDraft = {}
    for (const [name, value] of Object.entries(this.#body)) {
      const pointer = toPointer('', [name])
      const copied = ALWAYS.has(name) ? value : copyOf(value, pointer, marks)
      if (copied !== undefined) setOwn(made, name, copied)
    }
    return withWords(made, this.#body)
  }
}

function rank(name: string): number {
  return LISTS.findIndex((list) => list === name)
}

interface Call {
  readonly pointer: string
  readonly name: string
}

interface Result {
  readonly pointer: string
  readonly id: string
}

const MAX_TURN_DEPTH = 4

/** Calls of tools and their results, in the form of any client API. */
class ToolTurns {
  readonly calls = new Map<string, Call>()
  readonly results: Result[] = []

  visit(value: unknown, names: readonly string[]): void {
    if (names.length > MAX_TURN_DEPTH) return
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) this.visit(item, [...names, `${index}`])
      return
    }
    if (!isJsonObject(value)) return
    const { type, id, call_id: callId, tool_call_id: chatId, tool_use_id: useId } = value
    const pointer = toPointer('', names)
    const isOutput = String(type).endsWith('_output')
    const answered = chatId ?? useId ?? (isOutput ? callId : undefined)
    const asked = names.at(-2) === 'tool_calls' || type === 'tool_use' ? id : callId
    if (typeof answered === 'string') this.results.push({ pointer, id: answered })
    else if (typeof asked === 'string') this.calls.set(asked, { pointer, name: nameOf(value) })
    for (const name of ['content', 'tool_calls']) this.visit(value[name], [...names, name])
  }
}

function nameOf(tool: JsonObject): string {
  const nested = asJsonObject(tool['function']) ?? asJsonObject(tool['custom']) ?? {}
  return textMember(tool, 'name') ?? textMember(nested, 'name') ?? ''
}

/** Says of each place in a body what becomes of it. */
class Marks {
  readonly #kept = new Set<string>()
  readonly #leftOut = new Set<string>()
  /** Values of which something is kept. */
  readonly #open = new Set<string>()
  readonly #ranges = new Map<string, Record<'kept' | 'leftOut', (readonly [number, number])[]>>()

  constructor(kept: readonly Part[], leftOut: readonly Part[]) {
    for (const part of kept) this.#mark(part, 'kept', this.#kept)
    for (const part of leftOut) this.#mark(part, 'leftOut', this.#leftOut)
  }

  open(pointer: string): void {
    for (const one of withAncestors(pointer)) this.#open.add(one)
  }

  isOpen(pointer: string): boolean {
    return this.#open.has(pointer)
  }

  isKept(pointer: string): boolean {
    return this.#kept.has(pointer)
  }

  isLeftOut(pointer: string): boolean {
    return this.#leftOut.has(pointer)
  }

  /** True if at least a frame of it is in the request. */
  isPresent(pointer: string): boolean {
    const places = withAncestors(pointer)
    if (places.some((one) => this.#leftOut.has(one))) return false
    return this.#open.has(pointer) || places.some((one) => this.#kept.has(one))
  }

  textOf(text: string, pointer: string, isWhole: boolean): string {
    const { kept = [], leftOut = [] } = this.#ranges.get(pointer) ?? {}
    const stretches = isWhole ? [[0, text.length] as const] : kept
    return stretches.map(([from, to]) => without(text, [from, to], leftOut)).join('')
  }

  #mark({ pointer, range }: Part, what: 'kept' | 'leftOut', whole: Set<string>): void {
    if (range === undefined) {
      whole.add(pointer)
      return
    }
    const ranges = this.#ranges.get(pointer) ?? { kept: [], leftOut: [] }
    ranges[what] = [...ranges[what], range].toSorted(([a], [b]) => a - b)
    this.#ranges.set(pointer, ranges)
  }
}

function without(
  text: string,
  [from, to]: readonly [number, number],
  leftOut: readonly (readonly [number, number])[]
): string {
  let left = ''
  let at = from
  for (const [start, end] of leftOut) {
    if (end <= at || start >= to) continue
    left += text.slice(at, Math.max(at, start))
    at = Math.min(to, end)
  }
  return left + text.slice(at, to)
}

function withAncestors(pointer: string): readonly string[] {
  const places = [pointer]
  for (let at = pointer.lastIndexOf('/'); at > 0; at = pointer.lastIndexOf('/', at - 1)) {
    places.push(pointer.slice(0, at))
  }
  return places
}

/** Copies what is kept of a value; `undefined` for nothing. `isWhole`: an outer value is kept. */
function copyOf(value: unknown, pointer: string, marks: Marks, isWhole = false): unknown {
  if (marks.isLeftOut(pointer)) return undefined
  const isKept = isWhole || marks.isKept(pointer)
  if (!isKept && !marks.isOpen(pointer)) return undefined
  if (typeof value === 'string') return marks.textOf(value, pointer, isKept)
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => {
      const copied = copyOf(item, toPointer(pointer, [`${index}`]), marks, isKept)
      return copied === undefined ? [] : [copied]
    })
  }
  if (!isJsonObject(value)) return value
  const made: JsonDraft = {}
  const isOfSchema = splitPointer(pointer).some((name) => SCHEMAS.has(name))
  for (const [name, member] of Object.entries(value)) {
    const place = toPointer(pointer, [name])
    const copied = frameOf(member, { name, place, marks, isKept, isOfSchema })
    if (copied !== undefined) setOwn(made, name, copied)
  }
  return isOfSchema ? withOwnRequired(made) : made
}

interface Member {
  readonly name: string
  readonly place: string
  readonly marks: Marks
  readonly isKept: boolean
  readonly isOfSchema: boolean
}

/** Copies a member; of a value that is open, also what frames it. */
function frameOf(member: unknown, { name, place, marks, isKept, isOfSchema }: Member): unknown {
  if (isKept || marks.isOpen(place)) return copyOf(member, place, marks, isKept)
  if (isOfSchema) return name === 'type' ? member : undefined
  if (name === 'text' && typeof member === 'string') return '' // a block of text needs it
  if (!FRAME.has(name)) return undefined
  if (!WRAPPERS.has(name) || !isJsonObject(member)) return member
  return Object.fromEntries(Object.entries(member).filter(([inner]) => FRAME.has(inner)))
}

/** A schema requires none of the properties that were left out. */
function withOwnRequired(schema: JsonDraft): JsonDraft {
  const { required, properties } = schema
  if (!Array.isArray(required)) return schema
  const known = asJsonObject(properties) ?? {}
  const left = required.filter((name) => typeof name === 'string' && Object.hasOwn(known, name))
  const { required: _required, ...rest } = schema
  return left.length === 0 ? rest : { ...rest, required: left }
}

function withWords(made: JsonDraft, body: JsonObject): JsonObject {
  const name = CONVERSATIONS.find((one) => Object.hasOwn(body, one))
  const said = name === undefined ? undefined : made[name]
  const isSilent = said === undefined || (Array.isArray(said) && said.length === 0)
  if (name === undefined || !isSilent) return made
  return { ...made, [name]: [{ role: 'user', content: 'Hi.' }] }
}

/** Cuts a text near the ends of its lines, or else of its words. */
function stretchesOf(
  text: string,
  pointer: string,
  [from, to]: readonly [number, number] = [0, text.length]
): readonly Part[] {
  if (!TEXTS.has(splitPointer(pointer).at(-1) ?? '') || to - from < 2 * SMALLEST_STRETCH) return []
  const size = Math.max(SMALLEST_STRETCH, Math.ceil((to - from) / STRETCHES))
  const parts: Part[] = []
  for (let start = from; start < to; ) {
    const end = to - start < size + SMALLEST_STRETCH ? to : cutNear(text, start + size, to)
    parts.push({ pointer, range: [start, end] })
    start = end
  }
  return parts
}

function cutNear(text: string, at: number, to: number): number {
  const reach = Math.min(to, at + SMALLEST_STRETCH)
  const near = text.slice(at, reach)
  const found = near.includes('\n') ? near.indexOf('\n') : near.indexOf(' ')
  const end = found === -1 ? at : at + found + 1
  const isSplit = (text.charCodeAt(end) & 0xfc00) === 0xdc00
  return isSplit ? end + 1 : end
}
