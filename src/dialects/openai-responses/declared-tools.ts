import type { Repairs } from '../../kiro/rules/repairs.ts'
import type { ToolDefinition } from '../../kiro/wire/message.ts'
import { setOwn } from '../../shared/json.ts'
import type { WebSearchWish } from '../plan/search-tool.ts'
import type { ToolForm } from '../request/settled-tools.ts'

export const SEARCH_NAME = 'tool_search'

/** Tools of one request. The upstream has no namespaces: each has a unique name, its own or `{namespace}__{name}`. */
export class DeclaredTools {
  readonly #repairs: Repairs
  readonly #definitions: ToolDefinition[] = []
  readonly #forms = new Map<string, ToolForm>()
  readonly #fullNames = new Map<string, string>()
  /** Keyed by name; `undefined` if several namespaces have it. */
  readonly #namespaced = new Map<string, string | undefined>()
  /** The last number tried behind each full name that was taken. */
  readonly #tried = new Map<string, number>()
  #webSearch: WebSearchWish | undefined

  constructor(repairs: Repairs) {
    this.#repairs = repairs
  }

  get definitions(): readonly ToolDefinition[] {
    return this.#definitions
  }

  get forms(): readonly ToolForm[] {
    return [...this.#forms.values()]
  }

  get webSearch(): WebSearchWish | undefined {
    return this.#webSearch
  }

  /** Leaves out plain functions, and tools that are declared but cannot be called. */
  formsOf(offered: readonly string[]): Readonly<Record<string, ToolForm>> {
    const forms: Record<string, ToolForm> = {}
    for (const name of offered) {
      const form = this.#forms.get(name)
      const isPlain = form?.kind === 'function' && form.name === name
      if (form !== undefined && !isPlain) setOwn(forms, name, form)
    }
    return forms
  }

  declare(form: ToolForm, definition: Omit<ToolDefinition, 'name'>): void {
    const { name, namespace } = form
    const key = keyOf(name, namespace)
    if (this.#fullNames.has(key)) {
      this.#repairs.note('tool-duplicate-dropped', definition.source)
      return
    }
    const fullName = this.#freeName(joinName(name, namespace))
    this.#fullNames.set(key, fullName)
    this.#forms.set(fullName, form)
    this.#definitions.push({ ...definition, name: fullName })
    if (namespace !== undefined) {
      this.#namespaced.set(name, this.#namespaced.has(name) ? undefined : fullName)
    }
  }

  declareSearch(wish: WebSearchWish): void {
    this.#webSearch ??= wish
  }

  /** Codex leaves a namespace out where the name is unique; an undeclared tool gets the name that it would have. */
  fullNameOf(name: string, namespace: string | null | undefined): string {
    const exact = this.#fullNames.get(keyOf(name, namespace))
    if (exact !== undefined) return exact
    if (namespace) return joinName(name, namespace)
    return this.#forms.has(name) ? name : (this.#namespaced.get(name) ?? name)
  }

  namesByNamespace(): ReadonlyMap<string | undefined, readonly string[]> {
    return Map.groupBy(this.#forms.keys(), (name) => this.#forms.get(name)?.namespace)
  }

  /** A tool may have the very name that joining makes of two others. Starts where the last try ended. */
  #freeName(wanted: string): string {
    if (!this.#forms.has(wanted)) return wanted
    let count = this.#tried.get(wanted) ?? 2
    while (this.#forms.has(`${wanted}_${count}`)) count++
    this.#tried.set(wanted, count)
    return `${wanted}_${count}`
  }
}

function joinName(name: string, namespace: string | undefined): string {
  return namespace === undefined ? name : `${namespace}__${name}`
}

function keyOf(name: string, namespace: string | null | undefined): string {
  return JSON.stringify(namespace ? [name, namespace] : [name])
}
