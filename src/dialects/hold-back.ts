/**
 * Where in `text` the longest tail begins that may still grow into `needle`; `text.length` if no tail
 * does. What stands before that place can be sent now, whatever comes next.
 */
export function findPartial(text: string, needle: string): number {
  const first = needle.slice(0, 1)
  let at = text.indexOf(first, Math.max(0, text.length - needle.length + 1))
  while (at !== -1) {
    if (needle.startsWith(text.slice(at))) return at
    at = text.indexOf(first, at + 1)
  }
  return text.length
}
