/** Matches the whole name without case; `*` stands for any text. */
export function fitsPattern(pattern: string, name: string): boolean {
  return matches(pattern.toLowerCase(), name.toLowerCase())
}

/** Takes time proportional to the product of the lengths: never backtracks behind the last `*`. */
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
