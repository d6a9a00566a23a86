/**
 * The members that a type of a vendor's SDK has without a question mark. The compiler asks for each of them, so that a
 * newer SDK can't add one unnoticed. `Left` are members that the vendor's own answers leave out.
 */
export type DueMembers<T, Left extends keyof T = never> = Readonly<
  Record<Exclude<{ [K in keyof T]-?: object extends Pick<T, K> ? never : K }[keyof T], Left>, true>
>

/** The members that are due and that an object of an answer lacks. */
export function missingIn(value: unknown, due: Readonly<Record<string, true>>): readonly string[] {
  if (typeof value !== 'object' || value === null) return ['an object']
  return Object.keys(due).filter((name) => !Object.hasOwn(value, name))
}
