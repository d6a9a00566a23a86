/** True if a name matches a pattern as a whole: `*` stands for any text; case does not matter. */
export function fitsPattern(pattern: string, name: string): boolean {
  return matches(pattern.toLowerCase(), name.toLowerCase())
}

/** In time proportional to the product of the lengths, whatever the pattern: it never goes back behind its last `*`. */
function matches(pattern: string, name: string): boolean {
  let at = 0
  let inName = 0
  let star = -1
  let starName = 0
  while (inName < name.length) {
    if (pattern[at] === '*') {
      star = at++
      starName = inName
    } else if (pattern[at] === name[inName]) {
      at++
      inName++
    } else if (star >= 0) {
      at = star + 1
      inName = ++starName
    } else return false
  }
  while (pattern[at] === '*') at++
  return at === pattern.length
}
