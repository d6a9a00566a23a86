/* The view library: templates of text, never of markup that a client chose. */
export { html, noChange, nothing, render } from './lit/lit-html.js'
export { guard } from './lit/directives/guard.js'
export { repeat } from './lit/directives/repeat.js'

/** @typedef {import('./lit/lit-html.js').TemplateResult} View */
/** @typedef {View | typeof import('./lit/lit-html.js').nothing} Optional */
