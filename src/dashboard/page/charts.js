/* Charts of the last hour by uPlot, with our own legends for the point under the pointer. */
import { amount, bytes, duration, minuteOfDay, short, timeOfDay } from './format.js'

/** @typedef {import('./history.js').History} History */
/** @typedef {import('uplot').Series} Series */
/** @typedef {import('../feed.ts').Now} Now */
/** @typedef {{ column: string, label: string, colour: string, isLimit?: boolean }} Line */
/** @typedef {{ name: string, title: string, lines: Line[], tell: (value: number | null) => string, least: number, steps?: number[] }} Plan */

const limit = { colour: '--muted', isLimit: true }

/** `least`: what the upper end of the scale is at least, so that a calm hour looks calm. @type {Plan[]} */
const PLANS = [
  {
    name: 'requests',
    title: 'Requests a minute',
    least: 5,
    tell: short,
    lines: [
      { column: 'requestsPerMinute', label: 'all', colour: '--series-1' },
      { column: 'failedPerMinute', label: 'failed', colour: '--series-bad' }
    ]
  },
  {
    name: 'tokens',
    title: 'Tokens a minute',
    least: 100,
    tell: short,
    lines: [
      { column: 'inputTokensPerMinute', label: 'in', colour: '--series-2' },
      { column: 'outputTokensPerMinute', label: 'out', colour: '--series-1' }
    ]
  },
  {
    name: 'credits',
    title: 'Credits an hour',
    least: 1,
    tell: amount,
    lines: [{ column: 'creditsPerHour', label: 'at this rate', colour: '--series-3' }]
  },
  {
    name: 'first-token',
    title: 'First token',
    least: 500,
    tell: duration,
    lines: [
      { column: 'firstP50Ms', label: 'median', colour: '--series-1' },
      { column: 'firstP95Ms', label: '95 % within', colour: '--series-3' }
    ]
  },
  {
    name: 'total',
    title: 'Total time',
    least: 1000,
    tell: duration,
    lines: [
      { column: 'totalP50Ms', label: 'median', colour: '--series-1' },
      { column: 'totalP95Ms', label: '95 % within', colour: '--series-3' }
    ]
  },
  {
    name: 'connections',
    title: 'Connections',
    least: 4,
    tell: amount,
    lines: [
      { column: 'inUse', label: 'in use', colour: '--series-1' },
      { column: 'idle', label: 'idle', colour: '--series-2' },
      { column: 'waiting', label: 'waiting', colour: '--series-bad' }
    ]
  },
  {
    name: 'memory',
    title: 'Memory',
    least: 64 * 1048576,
    tell: bytes,
    // 128 MB and 256 MB rather than 95.4 MB and 190.7 MB.
    steps: Array.from({ length: 16 }, (_, power) => 1048576 * 2 ** power),
    lines: [
      { column: 'memoryBytes', label: 'in use', colour: '--series-4' },
      { column: 'memoryLimit', label: 'limit', ...limit }
    ]
  },
  {
    name: 'cpu',
    title: 'CPU',
    least: 0.5,
    tell: (cores) => (cores === null ? amount(null) : `${amount(Number(cores.toFixed(2)))} cores`),
    lines: [
      { column: 'cpuCores', label: 'in use', colour: '--series-4' },
      { column: 'cpuLimit', label: 'limit', ...limit }
    ]
  },
  {
    name: 'loop-delay',
    title: 'Event-loop delay',
    least: 20,
    tell: duration,
    lines: [{ column: 'loopDelayMs', label: 'worst process, p99', colour: '--series-3' }]
  }
]

/** @param {Now['processes']} processes */
function worstDelayMs(processes) {
  const delays = processes.flatMap(({ loopDelayMs }) => loopDelayMs?.p99 ?? [])
  return delays.length === 0 ? null : Math.max(...delays)
}

/**
 * Figures of this moment, so that a legend says what the tiles say; points are up to five seconds old.
 * @type {Readonly<Record<string, (now: Now) => number | null>>}
 */
const LATEST = {
  requestsPerMinute: ({ requests }) => requests.perMinute,
  failedPerMinute: ({ requests }) => requests.failedPerMinute,
  inputTokensPerMinute: ({ tokens }) => tokens.inputPerMinute,
  outputTokensPerMinute: ({ tokens }) => tokens.outputPerMinute,
  firstP50Ms: ({ latency }) => latency.firstMs?.p50 ?? null,
  firstP95Ms: ({ latency }) => latency.firstMs?.p95 ?? null,
  totalP50Ms: ({ latency }) => latency.totalMs?.p50 ?? null,
  totalP95Ms: ({ latency }) => latency.totalMs?.p95 ?? null,
  inUse: ({ connections }) => connections.inUse,
  idle: ({ connections }) => connections.idle,
  waiting: ({ waiting }) => waiting.permits,
  memoryBytes: ({ memory }) => memory.usedBytes,
  cpuCores: ({ cpu }) => cpu.cores,
  loopDelayMs: ({ processes }) => worstDelayMs(processes)
}

const HEIGHT = 132

/** Charts are made once they are shown, and drawn when a point is added. */
export class Charts {
  /** @type {Chart[]} */
  #charts
  #history
  /** End of the history that is drawn. */
  #drawnAt = 0

  /** @param {History} history */
  constructor(history) {
    this.#history = history
    this.#charts = PLANS.map((plan) => new Chart(plan))
  }

  get figures() {
    return this.#charts.map(({ figure }) => figure)
  }

  /**
   * Does nothing while the charts are not on the page.
   * @param {Now} now
   */
  show(now) {
    const [first] = this.#charts
    if (first === undefined || !first.figure.isConnected) return
    const end = this.#history.at.at(-1) ?? 0
    if (end !== this.#drawnAt) {
      this.#drawnAt = end
      const limits = { memoryLimit: now.memory.limitBytes, cpuLimit: now.cpu.limit }
      for (const chart of this.#charts) chart.draw(this.#history, limits)
    }
    for (const chart of this.#charts) chart.show(now)
  }

  recolour() {
    for (const chart of this.#charts) chart.recolour()
  }
}

class Chart {
  figure
  #plan
  #place
  #keys
  /** Time of the point under the pointer. */
  #time = make('li', 'chart-time')
  /** @type {uPlot | null} */
  #plot = null
  /** @type {import('uplot').AlignedData} */
  #values = [[]]
  /** @type {Now | null} */
  #now = null
  /** @type {number | null} The point under the pointer. */
  #pointed = null

  /** @param {Plan} plan */
  constructor(plan) {
    this.#plan = plan
    this.#place = make('div', 'chart-plot')
    this.#keys = plan.lines.map((line) => {
      const swatch = make('i', 'swatch')
      swatch.style.background = `var(${line.colour})`
      const value = make('span')
      return { value, item: make('li', '', swatch, `${line.label} `, value) }
    })
    const legend = make('ul', 'chart-keys', this.#time, ...this.#keys.map(({ item }) => item))
    this.figure = make('figure', 'card chart')
    this.figure.dataset['chart'] = plan.name
    this.figure.append(make('figcaption', '', make('b', '', plan.title), legend), this.#place)
    this.#place.setAttribute('role', 'img')
    new ResizeObserver(() => {
      const { clientWidth } = this.#place
      if (clientWidth > 0) this.#plot?.setSize({ width: clientWidth, height: HEIGHT })
    }).observe(this.#place)
  }

  /**
   * @param {History} history
   * @param {Readonly<Record<string, number | null>>} limits
   */
  draw(history, limits) {
    const lines = this.#plan.lines.map(({ column }) => {
      if (!(column in limits)) return history.column(column)
      return history.at.map(() => limits[column] ?? null)
    })
    this.#values = [history.at, ...lines]
    if (this.#plot === null) this.#plot = this.#make()
    else this.#plot.setData(this.#values)
    this.#tell(null)
    this.#describe(lines)
  }

  /** @param {Now} now */
  show(now) {
    this.#now = now
    if (this.#pointed === null) this.#tell(null)
  }

  recolour() {
    if (this.#plot === null) return
    this.#plot.destroy()
    this.#plot = this.#make()
  }

  #make() {
    const { lines, tell, least, steps } = this.#plan
    const ink = (/** @type {string} */ name) => colourOf(this.#place, name)
    const axis = {
      stroke: ink('--muted'),
      font: '11px system-ui, sans-serif',
      grid: { stroke: ink('--grid'), width: 1 },
      ticks: { show: false }
    }
    return new uPlot(
      {
        width: Math.max(100, this.#place.clientWidth),
        height: HEIGHT,
        ms: 1,
        padding: [8, 20, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: 'hour' }, drag: { x: false, y: false }, points: { size: 6 } },
        scales: { y: { range: (_plot, _min, max) => [0, Math.max(least, (max ?? 0) * 1.08)] } },
        series: [{}, ...lines.map((line, index) => seriesOf(line, index, ink(line.colour)))],
        axes: [
          {
            ...axis,
            size: 24,
            space: 70,
            values: (_plot, at, _axis, _space, step) =>
              at.map(step < 60_000 ? timeOfDay : minuteOfDay)
          },
          {
            ...axis,
            ...(steps !== undefined && { incrs: steps }),
            size: 62,
            space: 28,
            values: (_plot, values) => values.map(tell)
          }
        ],
        hooks: { setCursor: [({ cursor }) => this.#tell(cursor.idx ?? null)] }
      },
      this.#values,
      this.#place
    )
  }

  /**
   * The figures of a moment, or of now.
   * @param {number | null} index
   */
  #tell(index) {
    this.#pointed = index
    const [at = [], ...lines] = this.#values
    for (const [number, { value }] of this.#keys.entries()) {
      const figure = index === null ? this.#latest(number) : lines[number]?.[index]
      setText(value, this.#plan.tell(figure ?? null))
    }
    const moment = index === null ? null : (at[index] ?? null)
    setText(this.#time, moment === null ? '' : timeOfDay(moment))
  }

  /** @param {number} number of the line */
  #latest(number) {
    const { column = '' } = this.#plan.lines[number] ?? {}
    const latest = LATEST[column]
    if (latest !== undefined && this.#now !== null) return latest(this.#now)
    return this.#values[number + 1]?.at(-1)
  }

  /** @param {(number | null)[][]} lines */
  #describe(lines) {
    const { title, tell } = this.#plan
    const parts = this.#plan.lines.map(({ label, isLimit }, index) => {
      const known = (lines[index] ?? []).filter((value) => value !== null)
      if (known.length === 0) return `${label}: unknown`
      const last = tell(this.#latest(index) ?? null)
      if (isLimit) return `${label} ${last}`
      const most = known.reduce((one, other) => Math.max(one, other))
      return `${label} ${last} now, at most ${tell(most)}`
    })
    this.#place.setAttribute('aria-label', `${title}, the last hour: ${parts.join('; ')}.`)
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [className]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
function make(tag, className = '', ...children) {
  const element = document.createElement(tag)
  if (className !== '') element.className = className
  element.append(...children)
  return element
}

/**
 * Writes a text if it has changed: the reader may have selected it.
 * @param {Element} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/**
 * @param {Line} line
 * @param {number} index
 * @param {string} colour
 * @returns {Series}
 */
function seriesOf({ label, isLimit }, index, colour) {
  const series = { label, stroke: colour, width: 1.4, points: { show: false } }
  if (isLimit === true) return { ...series, width: 1, dash: [4, 4] }
  return index === 0 ? { ...series, fill: faint(colour) } : series
}

/**
 * A canvas knows nothing of var() and light-dark(): what they come to at this moment.
 * @param {HTMLElement} place
 * @param {string} name
 */
function colourOf(place, name) {
  place.style.color = `var(${name})`
  const { color } = getComputedStyle(place)
  place.style.color = ''
  return color
}

/** @param {string} colour as browsers compute it: `rgb(90, 62, 230)` */
function faint(colour) {
  return colour.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.13)')
}
