/** How the keywords of JSON Schema hold other schemas. Every other object or list may hold some, too. */

/** Members are schemas under names of the user's choice, which are never keywords. */
export const SCHEMA_MAPS: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  'dependentSchemas',
  'dependencies',
  'dependentRequired',
  '$defs',
  'definitions'
])
/** Members of these maps may also be lists of names. */
export const NAME_LISTS: ReadonlySet<string> = new Set(['dependencies', 'dependentRequired'])
/** Values, whatever they look like. */
export const VALUES: ReadonlySet<string> = new Set([
  'enum',
  'const',
  'default',
  'examples',
  'example'
])
export const COMBINATORS = ['oneOf', 'anyOf', 'allOf'] as const
