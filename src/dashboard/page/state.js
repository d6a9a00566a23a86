/* All that the page shows. Places read it; a change is drawn once, in the next frame. */
import { History } from './history.js'

/** @import { KeyStatuses, Now, ShownAccount as Account } from '../feed.ts' */
/** @import { Session } from './contract.d.ts' */
/** @typedef {{ name: string, id: string, query: URLSearchParams }} Route */

/**
 * @type {{
 *   now: Now | null, account: Account | null, keys: KeyStatuses | null, session: Session | null,
 *   route: Route, copied: string, isSelected: boolean, announcement: string, warning: string
 * }}
 */
export const state = {
  now: null,
  account: null,
  keys: null,
  session: null,
  route: { name: '', id: '', query: new URLSearchParams() },
  /** Text that was copied a moment ago. */
  copied: '',
  isSelected: false,
  announcement: '',
  /** Says after a change which worker may not know of it. */
  warning: ''
}

export const history = new History()

let isDue = false
let draw = () => {}

/** @param {() => void} act draws the whole page */
export function setDraw(act) {
  draw = act
}

export function redraw() {
  if (isDue) return
  isDue = true
  requestAnimationFrame(() => {
    isDue = false
    draw()
  })
}

/** @param {Partial<typeof state>} values */
export function change(values) {
  Object.assign(state, values)
  redraw()
}

let afterChange = async () => {}

/** @param {() => Promise<void>} act runs after each change that the gateway has made for this page; never rejects */
export function setAfterChange(act) {
  afterChange = act
}

/** Takes up what a change may have done to this page, such as that it needs a key now. */
export function changed() {
  return afterChange()
}

/** Says why this session may change nothing; empty if it may. */
export function whyReadOnly() {
  const { session } = state
  return session?.mayChange === false ? (session.whyNot?.message ?? 'This page is read-only.') : ''
}
