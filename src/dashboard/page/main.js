/* Wires the page: events come in; it is drawn at most once a frame, and never while hidden. */
import { Charts } from './charts.js'
import { Connections } from './connections.js'
import { byId, make, setAttribute, setText } from './dom.js'
import { Feed, LATE_MS } from './feed.js'
import { showAccount, showNow } from './figures.js'
import { FleetCard } from './fleet.js'
import { duration, timeOfDay } from './format.js'
import { History } from './history.js'
import { RequestTable } from './requests.js'
import { SignIn, signOut } from './sign-in.js'
import { ErrorTable, KeyTable, ProcessTable } from './tables.js'
import { judge, SteadyVerdict } from './verdict.js'

/** @typedef {import('../feed.ts').Now} Now */
/** @typedef {import('../feed.ts').ShownAccount} Account */

/** Delay before a change is announced to screen readers, so that brief ones are not read out. */
const SETTLED_MS = 4_000

/** @type {Now | null} */
let now = null
/** @type {Account | null} */
let account = null
let isDrawing = false
let toldAt = 0
let spoken = 'well'
/** @type {{ code: string, since: number }} */
let settling = { code: 'well', since: 0 }
const due = { charts: false, account: false }

const history = new History()
const steady = new SteadyVerdict()
const connections = new Connections()
const charts = new Charts(byId('charts', HTMLElement), history)
const requests = new RequestTable()
const errors = new ErrorTable()
const processes = new ProcessTable()
const keys = new KeyTable()
const fleet = new FleetCard()
const board = byId('board', HTMLElement)

const feed = new Feed(
  {
    snapshot(value) {
      account = value.account
      history.replace(value.history)
      due.charts = due.account = true
      requests.replace(value.requests)
      keys.show(value.keys)
      tick(value.now)
    },
    tick,
    point(value) {
      history.add(value)
      due.charts = true
    },
    requests: (value) => requests.add(value),
    account(value) {
      account = value
      due.account = true
    },
    keys: (value) => keys.show(value)
  },
  onFeedState
)
const signIn = new SignIn(() => {
  signIn.hide()
  feed.stop()
  feed.wake()
})

/** @param {Now} value */
function tick(value) {
  now = value
  toldAt = value.at
  if (isDrawing) return
  isDrawing = true
  requestAnimationFrame(draw)
}

function draw() {
  isDrawing = false
  if (now === null || account === null) return
  board.hidden = false
  showNow(now)
  connections.show(now)
  errors.show(now.errors)
  processes.show(now)
  fleet.show(now.fleet)
  charts.show(now)
  if (due.account) showAccount(account)
  if (due.charts) charts.draw({ memoryLimit: now.memory.limitBytes, cpuLimit: now.cpu.limit })
  due.account = due.charts = false
  showVerdict()
  showAge()
}

function showVerdict() {
  if (now === null || account === null) return
  const lost = feed.state === 'lost'
  if (lost) steady.forget()
  const verdict = steady.next(judge(now, account), performance.now())
  const level = lost ? 'unknown' : verdict.level
  setAttribute(byId('verdict', HTMLElement), 'data-level', level)
  const refused = 'The gateway sends no data: it is shutting down, or too many dashboards are open.'
  const gone = feed.isRefused ? refused : 'The gateway does not answer.'
  const sentence = lost ? gone : verdict.sentence
  setText(byId('verdict-sentence', HTMLElement), sentence)
  setAttribute(byId('verdict-sentence', HTMLElement), 'data-value', lost ? 'lost' : verdict.level)
  const old = `This data is from ${timeOfDay(toldAt)}. The page reconnects automatically. docker ps and docker logs kiro-gateway show what happened.`
  setText(byId('verdict-facts', HTMLElement), lost ? old : verdict.facts)
  const list = byId('problems', HTMLElement)
  const items = lost ? [] : verdict.problems
  list.hidden = items.length === 0
  const text = items.map(({ what, remedy }) => `${what}\n${remedy}`).join('\n')
  if (list.dataset['text'] !== text) {
    list.dataset['text'] = text
    const rows = items.map(({ code, what, remedy }, index) => {
      const row = make(
        'li',
        '',
        make('b', '', index === 0 ? '' : what),
        index === 0 ? '' : ' ',
        remedy
      )
      row.dataset['problem'] = code
      return row
    })
    list.replaceChildren(...rows)
  }
  speak(lost ? 'lost' : verdict.code, sentence)
  const title = level === 'good' ? 'kiro-gateway' : `${sentence} – kiro-gateway`
  if (document.title !== title) document.title = title
}

/**
 * @param {string} code
 * @param {string} sentence
 */
function speak(code, sentence) {
  const at = performance.now()
  if (code !== settling.code) settling = { code, since: at }
  if (code === spoken || at - settling.since < SETTLED_MS) return
  spoken = code
  setText(byId('announcement', HTMLElement), sentence)
}

/**
 * @param {import('./feed.js').FeedState} state
 * @param {import('./feed.js').Session | null} session
 */
function onFeedState(state, session) {
  byId('sign-out', HTMLElement).hidden =
    session === null || !session.isKeyNeeded || state !== 'live'
  if (state === 'signed-out') {
    board.hidden = true
    now = account = null
    document.title = 'Sign in – kiro-gateway'
    signIn.show(session)
  } else if (state === 'live') signIn.hide()
  setAttribute(board, 'data-stale', state === 'lost' ? '' : null)
  showVerdict()
  showAge()
}

function showAge() {
  const live = byId('live', HTMLElement)
  const age = feed.heardAt === null ? null : performance.now() - feed.heardAt
  const isLate = feed.state === 'live' && age !== null && age > LATE_MS
  setAttribute(live, 'data-state', isLate ? 'late' : feed.state)
  setAttribute(live, 'data-age-ms', age === null ? null : Math.round(age))
  setText(byId('live-text', HTMLElement), ageText(age, isLate))
}

/**
 * @param {number | null} age
 * @param {boolean} isLate
 */
function ageText(age, isLate) {
  const old = age === null ? '' : duration(Math.max(1, Math.round(age / 1000)) * 1000)
  if (feed.state === 'live') return isLate ? `No data for ${old}` : 'Live'
  if (feed.state === 'lost')
    return age === null ? 'No connection, retrying' : `Data is ${old} old, retrying`
  if (feed.state === 'signed-out') return 'Not signed in'
  return feed.state === 'asleep' ? 'Asleep' : 'Connecting'
}

const THEMES = ['system', 'light', 'dark']
const themeButton = byId('theme', HTMLElement)

function currentTheme() {
  return document.documentElement.dataset['theme'] ?? 'system'
}

function showTheme() {
  setText(themeButton, `Theme: ${currentTheme()}`)
  charts.recolour()
}

themeButton.addEventListener('click', () => {
  const next = THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length] ?? 'system'
  if (next === 'system') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = next
  try {
    localStorage.setItem('kiro-gateway-theme', next)
  } catch {
    // Storage is forbidden: the choice holds until the page is left.
  }
  showTheme()
})
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showTheme)

byId('sign-out', HTMLElement).addEventListener('click', () => {
  void signOut().finally(() => {
    feed.stop()
    feed.wake()
  })
})

// Age grows without events; a hidden page has no age.
setInterval(() => {
  if (document.hidden) return
  showAge()
  showVerdict()
}, 1000)

showTheme()
feed.wake()
