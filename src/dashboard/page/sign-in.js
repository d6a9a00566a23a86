/* Form for an operator's key. The key is sent once and kept nowhere. */
import { byId, setText } from './dom.js'
import { duration } from './format.js'

/** @typedef {import('./feed.js').Session} Session */

export class SignIn {
  #form = byId('sign-in', HTMLFormElement)
  #key = byId('key', HTMLInputElement)
  #problem = byId('sign-in-problem', HTMLElement)
  #button = byId('sign-in-button', HTMLButtonElement)
  #onSignedIn

  /** @param {() => void} onSignedIn */
  constructor(onSignedIn) {
    this.#onSignedIn = onSignedIn
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#submit()
    })
  }

  /** @param {Session | null} session */
  show(session) {
    const wasHidden = this.#form.hidden
    this.#form.hidden = false
    if (session?.canSignIn === false) {
      const text = 'This gateway has only named keys. Set PROXY_API_KEY to get an operator key.'
      setText(this.#problem, text)
    }
    if (wasHidden) this.#key.focus()
  }

  hide() {
    this.#form.hidden = true
    this.#key.value = ''
    setText(this.#problem, '')
  }

  async #submit() {
    this.#button.disabled = true
    setText(this.#problem, '')
    try {
      const response = await fetch('dashboard/session', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ key: this.#key.value.trim() })
      })
      if (response.ok) this.#onSignedIn()
      else await this.#refused(response)
    } catch {
      setText(this.#problem, 'The gateway does not answer. Is it running?')
    } finally {
      this.#button.disabled = false
    }
  }

  /** @param {Response} response */
  async #refused(response) {
    const seconds = Number(response.headers.get('retry-after'))
    const wait = seconds > 0 ? ` Try again in ${duration(seconds * 1000)}.` : ''
    const body = await response.json().catch(() => null)
    const message = body?.error?.message
    const said = typeof message === 'string' ? message : `Refused with status ${response.status}.`
    setText(this.#problem, response.status === 429 ? `${said}${wait}` : said)
    this.#key.select()
    this.#key.focus()
  }
}

/** Ends the session. @returns {Promise<void>} */
export async function signOut() {
  await fetch('dashboard/session', { method: 'DELETE' })
}
