import type { Repairs } from '../../kiro/rules/repairs.ts'
import type { ToolDefinition } from '../../kiro/wire/message.ts'
import { setOwn } from '../../shared/json.ts'
import type { WebSearchWish } from '../plan/search-tool.ts'

/** Form in which a client declared a tool, and which a call of it must have in the answer. */
export interface ToolForm {
  /** `text`: takes one raw text, sent upstream as `{"input": "…"}`; `search`: looks for more tools. */
  readonly kind: 'function' | 'text' | 'search'
  /** The name inside its namespace. */
  readonly name: string
  /** The group that the tool was declared in. */
  readonly namespace?: string
}

/** The name of OpenAI's tool that looks for more tools. */
export const SEARCH_NAME = 'tool_search'

/**
 * The tools of one request, wherever in it they were declared. The upstream knows no namespaces, so each tool
 * has one full name: its own, or `{namespace}__{name}`. Full names never repeat.
 */
export class DeclaredTools {
  readonly #repairs: Repairs
  readonly #definitions: ToolDefinition[] = []
  readonly #forms = new Map<string, ToolForm>()
  /** By namespace and name. */
  readonly #fullNames = new Map<string, string>()
  /** By the name alone; `undefined` where several namespaces have the name. */
  readonly #namespaced = new Map<string, string | undefined>()
  /** The count behind a full name that was wanted again, for the next one that wants it. */
  readonly #tried = new Map<string, number>()
  #webSearch: WebSearchWish | undefined

  constructor(repairs: Repairs) {
    this.#repairs = repairs
  }

  get definitions(): readonly ToolDefinition[] {
    return this.#definitions
  }

  /** The vendor's web search, which the gateway makes for the model. */
  get webSearch(): WebSearchWish | undefined {
    return this.#webSearch
  }

  /**
   * Forms of the offered tools, by full name, except plain functions without a namespace. A request may declare many
   * more, which cannot be called.
   */
  formsOf(offered: readonly string[]): Readonly<Record<string, ToolForm>> {
    const forms: Record<string, ToolForm> = {}
    for (const name of offered) {
      const form = this.#forms.get(name)
      const isPlain = form?.kind === 'function' && form.name === name
      if (form !== undefined && !isPlain) setOwn(forms, name, form)
    }
    return forms
  }

  /** Declares a tool. Of two with one name in one namespace the first stays; a search may find a tool again. */
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

  /** Declares the web search. Of several the first counts. */
  declareSearch(wish: WebSearchWish): void {
    this.#webSearch ??= wish
  }

  /**
   * The full name of the tool that a client's words mean. Codex leaves out the namespace where the name alone
   * is enough; a tool that was not declared gets the name that it would have.
   */
  fullNameOf(name: string, namespace: string | null | undefined): string {
    const exact = this.#fullNames.get(keyOf(name, namespace))
    if (exact !== undefined) return exact
    if (namespace) return joinName(name, namespace)
    return this.#forms.has(name) ? name : (this.#namespaced.get(name) ?? name)
  }

  /** The full names of all tools by their namespaces. */
  namesByNamespace(): ReadonlyMap<string | undefined, readonly string[]> {
    return Map.groupBy(this.#forms.keys(), (name) => this.#forms.get(name)?.namespace)
  }

  /** A tool may have the very name that joining makes of two others; what was tried before is not free now. */
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
