/**
 * The scalars of a YAML file by their path, as in `services.web.ports[0]`; a key without a value has an empty one.
 *
 * Knows mappings and lists in block style with plain or quoted scalars, which is all that a Compose file needs.
 */
export function flattenYaml(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  /** Open mappings and lists, outermost first. */
  const open: { readonly indent: number; readonly path: string; items: number }[] = []
  for (const line of text.split('\n')) {
    let rest = line.trimStart()
    if (rest === '' || rest.startsWith('#')) continue
    let indent = line.length - rest.length
    while ((open.at(-1)?.indent ?? -1) >= indent) open.pop()
    if (rest.startsWith('- ')) {
      const list = open.at(-1)
      if (list === undefined) throw new Error(`a list at the top: ${line}`)
      const path = `${list.path}[${list.items++}]`
      rest = rest.slice(2)
      const entry = /^([\w.-]+):(?:\s+(.*))?$/.exec(rest)
      if (entry === null) {
        values.set(path, unquote(rest))
        continue
      }
      open.push({ indent, path, items: 0 })
      indent += 2
    }
    const [, key, value = ''] = /^([\w.-]+):(?:\s+(.*))?$/.exec(rest) ?? []
    if (key === undefined) throw new Error(`not understood: ${line}`)
    const parent = open.at(-1)?.path
    const path = parent === undefined ? key : `${parent}.${key}`
    values.set(path, unquote(value))
    open.push({ indent, path, items: 0 })
  }
  return values
}

function unquote(scalar: string): string {
  return /^(["'])(.*)\1$/.exec(scalar)?.[2] ?? scalar
}
