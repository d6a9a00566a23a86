/* Wires the page: events and answers change the state; it is drawn at most once a frame, by one function of the state. */
import { Feed, LATE_MS } from './feed.js'
import { duration, inLocalTime, timeOfDay } from './format.js'
import { gateway } from './gateway.js'
import { keys } from './keys.js'
import { html, nothing, render } from './lit.js'
import { live } from './live-requests.js'
import { charts, overview } from './overview.js'
import { own } from './own.js'
import { requests } from './requests.js'
import { signInForm, signOut } from './sign-in.js'
import { start } from './start.js'
import { change, history, redraw, setAfterChange, setDraw, state, whyReadOnly } from './state.js'
import { usage } from './usage.js'
import { SteadyVerdict } from './steady.js'

/** @typedef {{ title: string, view(): import('./lit.js').View, leave(): void }} Place */

/** Delay before a change is announced to screen readers, so that brief ones are not read out. */
const SETTLED_MS = 4_000

/** @type {ReadonlyMap<string, Place>} By the first part of the address behind `#/`. */
const PLACES = new Map(Object.entries({ '': overview, requests, keys, usage, gateway, start }))

/** @type {Place} */
let place = overview
let isNewPlace = false
let spoken = 'well'
/** @type {{ code: string, since: number }} */
let settling = { code: 'well', since: 0 }
const steady = new SteadyVerdict()

const feed = new Feed(
  {
    snapshot(value) {
      history.replace(value.history)
      live.replace(value.requests)
      change({ now: value.now, account: value.account, keys: value.keys })
    },
    tick: (value) => change({ now: value }),
    point: (value) => history.add(value),
    requests: (value) => live.add(value),
    account: (value) => change({ account: value }),
    keys: (value) => change({ keys: value })
  },
  onFeedState
)

/**
 * @param {import('./feed.js').FeedState} _state
 * @param {import('./feed.js').Session | null} session
 */
function onFeedState(_state, session) {
  if (session !== null) change({ session })
  if (feed.state === 'signed-out') change({ now: null, account: null, keys: null })
  redraw()
}

function isPerson() {
  return state.session?.role === 'person' && state.session.isSignedIn
}

/** Reads the address, and leaves the place that was shown. */
function route() {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?', 2)
  const [name = '', id = ''] = path.split('/', 2).map(decodeURIComponent)
  const next = isPerson() ? own : (PLACES.get(name) ?? overview)
  if (next !== place) {
    place.leave()
    place = next
    isNewPlace = true
  } else if (id !== state.route.id) isNewPlace = true
  change({ route: { name, id, query: new URLSearchParams(query) } })
}

function draw() {
  if (isPerson() !== (place === own)) return route()
  render(page(), document.body)
  if (state.now !== null) charts.show(state.now)
  focusKey()
  if (!isNewPlace) return
  isNewPlace = false
  scrollTo(0, 0)
  const content = document.querySelector('#content')
  if (content instanceof HTMLElement) content.focus({ preventScroll: true })
}

let isKeyAsked = false

/** Puts the cursor into the field of the key when that appears. */
function focusKey() {
  const field = document.querySelector('#f-key')
  const isAsked = field?.closest('#sign-in') !== null && field !== null
  if (isAsked && !isKeyAsked && field instanceof HTMLElement) field.focus()
  isKeyAsked = isAsked
}

function page() {
  const verdict = verdictNow()
  const isSignedOut = feed.state === 'signed-out' && !isPerson()
  const title = isSignedOut ? 'Sign in' : place.title
  const head = verdict === null || verdict.level === 'green' ? title : verdict.sentence
  const documentTitle =
    place === overview && head === overview.title ? 'kiro-gateway' : `${head} – kiro-gateway`
  if (document.title !== documentTitle) document.title = documentTitle
  const isReady = isPerson() || state.now !== null
  return html`
    <a class="skip" href="#content" @click=${skip}>Skip to the content</a>
    ${header(isSignedOut)}
    <main id="content" tabindex="-1">
      ${isSignedOut ? signInForm(onSignedIn) : nothing}
      ${
        isSignedOut || !isReady
          ? nothing
          : html`<div id="board" ?data-stale=${feed.state === 'lost'}>
        ${verdict !== null && (place === overview || verdict.level !== 'green') ? banner(verdict) : nothing}
        ${state.warning === '' ? nothing : html`<p class="problem" role="alert" id="change-warning">${state.warning}</p>`}
        ${place.view()}
      </div>`
      }
      <p class="for-ears" id="announcement" role="status">${state.announcement}</p>
    </main>`
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault() // the address after # names the place
  const content = document.querySelector('#content')
  if (content instanceof HTMLElement) content.focus()
}

/** @param {boolean} isSignedOut */
function header(isSignedOut) {
  const { account, session } = state
  const age = feed.heardAt === null ? null : performance.now() - feed.heardAt
  const isNarrow = account?.isSimulated === true || whyReadOnly() !== ''
  const isLate = feed.state === 'live' && age !== null && age > LATE_MS
  return html`<header class="bar">
    <h1 class="brand"><img src="dashboard/icon.svg" alt="" width="28" height="28"><span class=${isNarrow ? 'short-of-room' : nothing}>kiro-gateway</span></h1>
    ${account === null ? nothing : html`<span class="chip" id="version" data-metric="version" data-value=${account.version}>v${account.version}</span>`}
    ${account?.isSimulated === true ? html`<span class="chip chip-fair" id="simulated">simulator</span>` : nothing}
    ${isSignedOut || isPerson() || whyReadOnly() === '' ? nothing : html`<span class="chip" title=${whyReadOnly()}>read-only</span>`}
    ${
      isSignedOut || isPerson()
        ? nothing
        : html`<nav class="places" aria-label="Places">
      ${[...PLACES].map(([name, { title }]) => html`<a href=${`#/${name}`} aria-current=${place.title === title ? 'page' : nothing}>${title}</a>`)}</nav>`
    }
    <div class="bar-end">
      ${
        isPerson()
          ? nothing
          : html`<p class="live" id="live" data-state=${isLate ? 'late' : feed.state} data-age-ms=${age === null ? nothing : Math.round(age)}>
        <span class="dot" aria-hidden="true"></span><span id="live-text">${ageText(age, isLate)}</span></p>`
      }
      <a class="quiet" href="docs">API</a>
      <button type="button" class="quiet" id="theme" aria-label=${`Theme: ${currentTheme()}`} @click=${nextTheme}>Theme<span class="wordy">: ${currentTheme()}</span></button>
      ${session?.isKeyNeeded === true && session.isSignedIn && !isSignedOut ? html`<button type="button" class="quiet" id="sign-out" @click=${onSignOut}>Sign out</button>` : nothing}
    </div>
  </header>`
}

/** @typedef {Omit<import('../feed.ts').GatewayVerdict, 'level'> & { level: keyof typeof LEVELS }} Verdict */

/** Levels of the style sheets, by those of the gateway. */
const LEVELS = /** @type {const} */ ({
  green: 'good',
  amber: 'fair',
  red: 'bad',
  unknown: 'unknown'
})

/** @returns {Verdict | null} what to say of the gateway now */
function verdictNow() {
  const { now } = state
  if (now === null || isPerson()) return null
  if (feed.state === 'lost') {
    steady.forget()
    const refused =
      'The gateway sends no data: it is shutting down, or too many dashboards are open.'
    const facts = `This data is from ${timeOfDay(now.at)}. The page reconnects automatically. The gateway's log shows what happened.`
    const sentence = feed.isRefused ? refused : 'The gateway does not answer.'
    return spoke({ level: 'unknown', code: 'lost', sentence, facts, problems: [], action: null })
  }
  return spoke(steady.next(localVerdict(now), performance.now()))
}

/** @param {import('../feed.ts').Now} now */
function localVerdict({ at, verdict }) {
  const problems = verdict.problems.map((one) => ({
    ...one,
    what: inLocalTime(one.what, one.times, at),
    remedy: inLocalTime(one.remedy, one.times, at)
  }))
  return { ...verdict, problems, sentence: problems[0]?.what ?? verdict.sentence }
}

/** @param {Verdict} verdict */
function banner({ level, sentence, facts, problems }) {
  // Elsewhere than on the overview it leads there, and leaves the room to the place.
  const isWhole = place === overview || level === 'unknown'
  return html`<section class="verdict" id="verdict" aria-labelledby="verdict-sentence" data-level=${LEVELS[level]}>
    <span class="verdict-sign" aria-hidden="true"></span>
    <div><h2 id="verdict-sentence" data-metric="status" data-value=${feed.state === 'lost' ? 'lost' : level}>${sentence}</h2>
      ${
        problems.length === 0
          ? nothing
          : html`<ul id="problems">${(isWhole ? problems : problems.slice(0, 1)).map(
              ({ code, what, remedy, action }, index) =>
                html`<li data-problem=${code}>${index === 0 ? nothing : html`<b>${what}</b> `}${remedy}${action === null ? nothing : actionLink(action)}</li>`
            )}</ul>`
      }
      ${isWhole ? html`<p class="note" id="verdict-facts">${facts}</p>` : nothing}</div>
  </section>`
}

/**
 * Leads to where something can be done about a problem, unless the reader is there or may do nothing.
 * @param {import('../feed.ts').VerdictAction} action
 */
function actionLink({ label, place: to }) {
  const [name = ''] = to.split('?', 1)
  const isOfUse = name !== state.route.name && (name === 'requests' || whyReadOnly() === '')
  return isOfUse ? html` <a href=${`#/${to}`}>${label}</a>` : nothing
}

/**
 * Announces a verdict once it has settled.
 * @param {Verdict} verdict
 */
function spoke(verdict) {
  const at = performance.now()
  const { code, sentence } = verdict
  if (code !== settling.code) settling = { code, since: at }
  if (code !== spoken && at - settling.since >= SETTLED_MS) {
    spoken = code
    state.announcement = sentence
  }
  return verdict
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

function currentTheme() {
  return document.documentElement.dataset['theme'] ?? 'system'
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length] ?? 'system'
  if (next === 'system') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = next
  try {
    localStorage.setItem('kiro-gateway-theme', next)
  } catch {
    // Storage is forbidden: the choice holds until the page is left.
  }
  charts.recolour()
  redraw()
}

/** @param {import('./contract.d.ts').Session} session */
function onSignedIn(session) {
  change({ session })
  feed.stop()
  feed.wake()
}

function onSignOut() {
  // Until the gateway has ended the session, nothing asks whether there is one: the form would come and go.
  feed.stop()
  void signOut().finally(() => {
    place.leave()
    change({ session: null, now: null, account: null, keys: null })
    feed.wake()
  })
}

setDraw(draw)
setAfterChange(() => {
  steady.changed(performance.now())
  return feed.renew()
})
addEventListener('hashchange', route)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => charts.recolour())
// Age grows without events; a hidden page has no age.
setInterval(() => {
  if (!document.hidden) redraw()
}, 1000)
route()
feed.wake()
