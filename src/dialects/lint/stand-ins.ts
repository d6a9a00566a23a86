import {
  type JsonDraft,
  resolvePointer,
  setOwn,
  splitPointer,
  toPointer
} from '../../shared/json.ts'

const ELEMENTS: Readonly<Record<string, (name: string) => unknown>> = {
  messages: () => ({ role: 'user', content: ' ' }),
  input: () => ({ type: 'message', role: 'user', content: ' ' }),
  content: () => ({ type: 'text', text: '' }),
  output: () => ({ type: 'input_text', text: '' }),
  system: () => ({ type: 'text', text: '' }),
  tools: (name) => ({ type: 'function', name, function: { name } }),
  functions: (name) => ({ name }),
  tool_calls: (name) => ({ id: name, function: { name, arguments: '{}' } }),
  stop: () => '',
  stop_sequences: () => ''
}

const MEMBERS: Readonly<Record<string, () => unknown>> = {
  model: () => 'auto',
  messages: () => [{ role: 'user', content: ' ' }],
  input: () => ' '
}

/** Replaces refused parts of a request with something harmless, so that the rest can be checked. Changes the body. */
export class StandIns {
  readonly #body: JsonDraft
  readonly #pointers: string[] = []

  constructor(body: JsonDraft) {
    this.#body = body
  }

  replace(pointer: string): boolean {
    const tokens = splitPointer(pointer)
    const [member] = tokens
    if (member === undefined) return false
    const place = this.#lastElement(tokens)
    const replaced = place === null ? toPointer('', [member]) : place.pointer
    if (this.#pointers.includes(replaced)) return false
    this.#pointers.push(replaced)
    if (place === null) this.#replaceMember(member)
    else place.list[place.index] = ELEMENTS[place.name]?.(`stand_in_${this.#pointers.length}`)
    return true
  }

  covers(pointer: string): boolean {
    return this.#pointers.some((one) => pointer === one || pointer.startsWith(`${one}/`))
  }

  #lastElement(tokens: readonly string[]): ListPlace | null {
    for (let at = tokens.length - 1; at > 0; at--) {
      const name = tokens[at - 1] ?? ''
      if (!Object.hasOwn(ELEMENTS, name)) continue
      const list = resolvePointer(this.#body, toPointer('', tokens.slice(0, at)))
      const index = Number(tokens[at])
      if (!Array.isArray(list) || !(index < list.length)) continue
      return { name, list, index, pointer: toPointer('', tokens.slice(0, at + 1)) }
    }
    return null
  }

  #replaceMember(name: string): void {
    const replacement = Object.hasOwn(MEMBERS, name) ? MEMBERS[name]?.() : undefined
    if (replacement === undefined) Reflect.deleteProperty(this.#body, name)
    else setOwn(this.#body, name, replacement)
  }
}

interface ListPlace {
  readonly name: string
  readonly list: unknown[]
  readonly index: number
  readonly pointer: string
}
