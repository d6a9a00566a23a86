/*
 * The stream of events, and what to do when it ends.
 *
 *   asleep ◀──hidden for a while── connecting ──first event──▶ live
 *      └────────shown────────────▶     ▲                        │ ends, or silence
 *                                      └─────── lost ◀──────────┘
 *   any of them ──no session──▶ signed-out
 */

/** Older figures count as late; the gateway sends one event each second. */
export const LATE_MS = 3_000
const SILENT_MS = 10_000
const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 4_000
/** A hidden tab closes its connection: browsers have six per origin. */
const HIDDEN_MS = 5_000
const SESSION_MS = 5_000

/** @typedef {'asleep' | 'connecting' | 'live' | 'lost' | 'signed-out'} FeedState */
/** @typedef {import('./contract.d.ts').Session} Session */

/** Reads whether this browser is signed in. @returns {Promise<Session>} */
export async function askSession() {
  const signal = AbortSignal.timeout(SESSION_MS)
  const response = await fetch('dashboard/session', { cache: 'no-store', signal })
  if (!response.ok) throw new Error(`dashboard/session answered with status ${response.status}`)
  return response.json()
}

export class Feed {
  /** @type {FeedState} */
  state = 'asleep'
  /** Monotonic time of the last event; `null` before the first. */
  /** @type {number | null} */
  heardAt = null

  /** @type {EventSource | null} */
  #source = null
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silence
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #hiding
  /** True if it answered but sent nothing: it is shutting down, or too many pages are open. */
  isRefused = false
  #failures = 0
  /** Grows with each attempt and each end of one, so that late answers are ignored. */
  #attempt = 0
  #listeners
  #onState

  /**
   * @param {Readonly<Record<string, (value: any) => void>>} listeners by the name of the event
   * @param {(state: FeedState, session: Session | null) => void} onState
   */
  constructor(listeners, onState) {
    this.#listeners = listeners
    this.#onState = onState
    document.addEventListener('visibilitychange', () => this.#onVisibility())
    addEventListener('online', () => this.#hurry())
    addEventListener('pageshow', (event) => event.persisted && this.#hurry())
  }

  /** Connects if there is a session; does nothing while connecting or live. */
  wake() {
    if (!this.#isOver()) return
    void this.#connect()
  }

  stop() {
    this.#close()
    this.#enter('asleep')
  }

  /** Asks whether this browser is still let in, beside the stream. Never rejects. */
  async renew() {
    const attempt = this.#attempt
    const session = await askSession().catch(() => null)
    if (session === null || attempt !== this.#attempt) return
    if (!isOut(session)) return this.#onState(this.state, session)
    this.#close()
    this.#enter('signed-out', session)
  }

  async #connect() {
    this.#close()
    // `lost` stays until it is live again, and the form to sign in until a user has, so that the page does not flicker.
    if (this.state !== 'lost' && this.state !== 'signed-out') this.#enter('connecting')
    const attempt = this.#attempt
    try {
      const session = await askSession()
      if (attempt !== this.#attempt) return
      if (isOut(session)) this.#enter('signed-out', session)
      else if (session.role === 'person')
        this.#enter('asleep', session) // the feed tells of all clients
      else this.#listen(session)
    } catch {
      if (attempt === this.#attempt) this.isRefused = false
      if (attempt === this.#attempt) this.#fail()
    }
  }

  #isOver() {
    return this.state === 'asleep' || this.state === 'signed-out'
  }

  /** @param {Session} session */
  #listen(session) {
    const source = new EventSource('dashboard/events')
    this.#source = source
    for (const [name, listener] of Object.entries(this.#listeners)) {
      source.addEventListener(name, (event) => {
        this.#heard(session)
        listener(JSON.parse(event.data))
      })
    }
    source.addEventListener('leaving', () => this.#again())
    source.addEventListener('error', () => {
      this.isRefused = this.state !== 'live'
      this.#fail()
    })
    this.#watchSilence()
  }

  /** @param {Session} session */
  #heard(session) {
    this.heardAt = performance.now()
    this.#failures = 0
    this.#watchSilence()
    if (this.state !== 'live') this.#enter('live', session)
  }

  #watchSilence() {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => this.#fail(), SILENT_MS)
  }

  /** This worker is leaving; another one is there. */
  #again() {
    this.#close()
    this.#timer = setTimeout(() => void this.#connect(), FIRST_RETRY_MS)
  }

  #fail() {
    this.#close()
    this.#enter('lost')
    const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 10)
    // Many tabs must not return at the same moment.
    this.#timer = setTimeout(() => void this.#connect(), wait * (0.75 + Math.random() / 2))
  }

  #hurry() {
    if (this.#isOver() || this.#source !== null) return
    void this.#connect()
  }

  #onVisibility() {
    clearTimeout(this.#hiding)
    if (document.hidden) {
      this.#hiding = setTimeout(() => {
        if (this.state !== 'signed-out') this.stop()
      }, HIDDEN_MS)
    } else if (this.state === 'asleep') this.wake()
    else this.#hurry()
  }

  #close() {
    this.#attempt += 1
    clearTimeout(this.#timer)
    clearTimeout(this.#silence)
    this.#source?.close()
    this.#source = null
  }

  /**
   * @param {FeedState} state
   * @param {Session | null} [session]
   */
  #enter(state, session = null) {
    this.state = state
    this.#onState(state, session)
  }
}

/** @param {Session} session */
function isOut({ isKeyNeeded, isSignedIn }) {
  return isKeyNeeded && !isSignedIn
}
