/** A model name taken apart: `auto+sim:stall+sim:gap=5` is `auto` and its control words. */
export function splitModelName(name: string): {
  readonly modelId: string
  readonly words: string
} {
  const start = name.indexOf('sim:')
  if (start === -1) return { modelId: name, words: '' }
  const modelId = name.slice(0, start).replace(/[^A-Za-z0-9]+$/, '')
  return { modelId: modelId === '' ? 'auto' : modelId, words: name.slice(start) }
}
