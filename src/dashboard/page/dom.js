/* Writes texts and attributes only when they change. Nothing from a client becomes markup: only text is written. */

/**
 * @template {HTMLElement} Kind
 * @param {string} id
 * @param {new () => Kind} kind `HTMLElement` where no more is needed of it
 * @returns {Kind}
 */
export function byId(id, kind) {
  const element = document.getElementById(id)
  if (!(element instanceof kind)) throw new Error(`The page has no ${kind.name} #${id}`)
  return element
}

/**
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  const { firstChild } = element
  if (firstChild instanceof Text && firstChild.nextSibling === null) {
    if (firstChild.data !== text) firstChild.data = text
  } else element.textContent = text
}

/**
 * Takes the attribute away where the value is `null`.
 * @param {Element} element
 * @param {string} name
 * @param {string | number | null} value
 */
export function setAttribute(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name)
  } else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value))
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [className]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, className = '', ...children) {
  const element = document.createElement(tag)
  if (className !== '') element.className = className
  element.append(...children)
  return element
}

/**
 * Figures that there are more than one of: each process has its memory.
 * @param {Readonly<Record<string, HTMLElement>>} elements by their `data-metric`
 */
export function nameFigures(elements) {
  for (const [name, element] of Object.entries(elements)) element.dataset['metric'] = name
}

/**
 * A figure: how it reads, and exactly what it is.
 * @param {Element} element
 * @param {number | string | null} value
 * @param {string} text
 * @param {string} [title]
 */
export function setFigure(element, value, text, title) {
  setText(element, text)
  setAttribute(element, 'data-value', value)
  if (title !== undefined) setAttribute(element, 'title', title)
}

/** @type {Map<string, Element>} */
const figures = new Map()

/**
 * The figure that the page's markup has as `data-metric`.
 * @param {string} name
 * @param {number | string | null} value
 * @param {string} text
 * @param {string} [title]
 */
export function setMetric(name, value, text, title) {
  setFigure(metric(name), value, text, title)
}

/** @param {string} name */
export function metric(name) {
  const known = figures.get(name) ?? document.querySelector(`[data-metric="${name}"]`)
  if (known === null) throw new Error(`The page has no figure ${name}`)
  figures.set(name, known)
  return known
}

/**
 * The bar of a meter; a share of more than 1 is shown as 1.
 * @param {HTMLElement} meter
 * @param {number} share
 */
export function setMeter(meter, share) {
  const bar = meter.firstElementChild
  const width = `${(Math.min(1, Math.max(0, share)) * 100).toFixed(1)}%`
  if (bar instanceof HTMLElement && bar.style.width !== width) bar.style.width = width
  const level = share >= 0.95 ? 'bad' : share >= 0.8 ? 'fair' : 'good'
  setAttribute(meter, 'data-level', level)
}

/**
 * Rows of a table that are used again: makes what is missing, hides what is too many.
 * @template Row, Item
 * @param {{ element: HTMLElement, rows: (Row & { element: HTMLElement })[] }} table rows are bounded by the most items there were
 * @param {readonly Item[]} items
 * @param {() => Row & { element: HTMLElement }} create
 * @param {(row: Row & { element: HTMLElement }, item: Item) => void} fill
 */
export function fillRows(table, items, create, fill) {
  for (const [index, item] of items.entries()) {
    let row = table.rows[index]
    if (row === undefined) {
      row = create()
      table.rows.push(row)
      table.element.append(row.element)
    }
    row.element.hidden = false
    fill(row, item)
  }
  for (const row of table.rows.slice(items.length)) row.element.hidden = true
}
