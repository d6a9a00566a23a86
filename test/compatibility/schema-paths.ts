type Json = Record<string, unknown>

/**
 * The paths of all members that a schema names and that have no members of their own: `tools[].name`. Alternatives are
 * looked at together; `null` is none.
 */
export function pathsOf(schema: unknown, path = ''): readonly string[] {
  const branches = alternativesOf(schema as Json)
  const below = branches.flatMap((branch) => [
    ...Object.entries((branch['properties'] ?? {}) as Json).flatMap(([name, member]) =>
      pathsOf(member, path === '' ? name : `${path}.${name}`)
    ),
    ...(branch['items'] === undefined ? [] : pathsOf(branch['items'], `${path}[]`))
  ])
  // A list of anything is one member; one that also takes a text is one beside its members.
  const isLeaf = below.length === 0 || branches.some((branch) => isScalar(branch))
  return [...new Set([...(isLeaf ? [path.replace(/\[\]$/, '')] : []), ...below])]
}

function alternativesOf(schema: Json): readonly Json[] {
  const { anyOf } = schema
  if (!Array.isArray(anyOf)) return [schema]
  return (anyOf as readonly Json[])
    .filter((branch) => branch['type'] !== 'null')
    .flatMap(alternativesOf)
}

function isScalar({ type, properties, items, enum: words }: Json): boolean {
  return (
    words !== undefined || (type !== undefined && properties === undefined && items === undefined)
  )
}
