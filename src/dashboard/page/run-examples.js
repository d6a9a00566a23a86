/* Runs the examples of `/docs` as the user who is signed in to the page: the request goes the way of every client's. */
import { askSession } from './feed.js'

/** Enough of an answer to be looked at. */
const MAX_TEXT = 20_000

/**
 * The body of an example, as its command sends it.
 * @param {string} command
 */
function bodyOf(command) {
  const [, body = null] = /-d '([^]*)'\s*$/.exec(command) ?? []
  return body
}

/**
 * @param {string} path
 * @param {string} command
 * @param {(text: string) => void} tell
 */
async function run(path, command, tell) {
  const { isSignedIn, csrf } = await askSession()
  if (!isSignedIn) return tell('Sign in to the dashboard first.')
  const body = bodyOf(command)
  const headers = { 'x-csrf-token': csrf ?? '', 'content-type': 'application/json' }
  const response = await fetch(path.slice(1), {
    headers,
    ...(body !== null && { method: 'POST', body })
  })
  let text = `HTTP ${response.status}\n\n`
  tell(text)
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const { done = true, value = '' } = (await reader?.read()) ?? {}
    if (done) return
    text = (text + value).slice(0, MAX_TEXT)
    tell(text)
  }
}

/** @param {HTMLElement} example */
function addButton(example) {
  const button = document.createElement('button')
  const answer = document.createElement('pre')
  button.type = 'button'
  button.textContent = 'Run'
  button.setAttribute('aria-label', `Run ${example.dataset['path']}`)
  answer.tabIndex = 0
  answer.hidden = true
  answer.setAttribute('role', 'status')
  example.after(button, answer)
  const tell = (/** @type {string} */ text) => {
    answer.hidden = false
    answer.textContent = text
  }
  button.addEventListener('click', () => {
    button.disabled = true
    run(example.dataset['path'] ?? '', example.textContent, tell)
      .catch(() => tell('The gateway does not answer. Is it running?'))
      .finally(() => {
        button.disabled = false
      })
  })
}

for (const example of document.querySelectorAll('pre[data-path]')) {
  if (example instanceof HTMLElement) addButton(example)
}
