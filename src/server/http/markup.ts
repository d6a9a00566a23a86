/** HTML that is safe to send. Made by `markup` alone. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type MarkupPart = Markup | string | number | null | readonly MarkupPart[]

/** Builds HTML: values are escaped as text or as quoted attributes, unless they are markup themselves. */
export function markup(texts: TemplateStringsArray, ...values: readonly MarkupPart[]): Markup {
  return new Markup(texts.map((text, index) => text + htmlOf(values[index] ?? null)).join(''))
}

function htmlOf(value: MarkupPart): string {
  if (value === null) return ''
  if (value instanceof Markup) return value.text
  if (typeof value === 'object') return value.map(htmlOf).join('')
  return String(value).replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
