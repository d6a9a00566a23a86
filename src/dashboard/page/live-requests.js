/* The last requests of the feed, newest first. The list pauses while details are read. */
import { redraw } from './state.js'
import { rowOf } from './request-row.js'

/** @typedef {import('../feed.ts').EndedRequest} Ended */
/** @typedef {import('./contract.d.ts').RequestRow} Row */

const MAX_ROWS = 100

class LiveRequests {
  /** @type {readonly Row[]} Bounded by MAX_ROWS; newest first. */
  rows = []
  /** @type {readonly Row[]} Bounded by MAX_ROWS; what has come while the list was paused, newest first. */
  held = []
  isPaused = false

  /** @param {readonly Ended[]} requests oldest first; takes the place of all */
  replace(requests) {
    this.rows = requests.slice(-MAX_ROWS).map(rowOf).toReversed()
    this.held = []
    redraw()
  }

  /** @param {readonly Ended[]} requests oldest first */
  add(requests) {
    const rows = requests.map(rowOf).toReversed()
    if (this.isPaused) this.held = [...rows, ...this.held].slice(0, MAX_ROWS)
    else this.rows = [...rows, ...this.rows].slice(0, MAX_ROWS)
    redraw()
  }

  /** @param {boolean} isPaused */
  pause(isPaused) {
    this.isPaused = isPaused
    if (!isPaused) {
      this.rows = [...this.held, ...this.rows].slice(0, MAX_ROWS)
      this.held = []
    }
    redraw()
  }
}

export const live = new LiveRequests()
