/* A prompt that goes the way of every client's request, with what it took. */
import { Change } from './api.js'
import { html, nothing } from './lit.js'
import { amount, duration } from './format.js'
import { choice, credits, facts, field, formProblem } from './parts.js'
import { redraw, state } from './state.js'

const EFFORTS = /** @type {const} */ ([
  ['', 'as the model does'],
  ['low', 'low'],
  ['medium', 'medium'],
  ['high', 'high']
])
/** Enough of an answer for a test. */
const MAX_TEXT = 20_000

const asking = new Change()
/** @type {readonly string[]} */
let models = []
/** State of the sign-in to Kiro when the models were asked for. */
let askedAs = ''
let needsKey = false
let text = ''
/** @type {AbortController | null} */
let stop = null
/** @type {{ firstMs: number | null, totalMs: number | null, input: number | null, output: number | null, credits: number | null, model: string } | null} */
let outcome = null

/** @param {string} key empty for the session of this page */
function headersOf(key) {
  return key === ''
    ? { 'x-csrf-token': state.session?.csrf ?? '' }
    : { authorization: `Bearer ${key}` }
}

/** @param {string} key */
async function loadModels(key) {
  const response = await fetch('v1/models', { headers: headersOf(key) }).catch(() => null)
  if (response?.status === 401) needsKey = true
  if (response?.ok === true) {
    const { data } = await response.json()
    models = data.map((/** @type {{ id: string }} */ { id }) => id)
  }
  redraw()
}

/** @param {Record<string, string>} values */
async function ask(values) {
  const { key = '', model = 'auto', effort = '', prompt = '' } = values
  const body = {
    model: model === '' ? 'auto' : model,
    stream: true,
    stream_options: { include_usage: true },
    messages: [{ role: 'user', content: prompt }],
    ...(effort !== '' && { reasoning_effort: effort })
  }
  text = ''
  outcome = null
  stop = new AbortController()
  const from = performance.now()
  const response = await fetch('v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headersOf(key) },
    body: JSON.stringify(body),
    signal: stop.signal
  })
  if (!response.ok || response.body === null) {
    const answer = await response.json().catch(() => null)
    if (response.status === 401) needsKey = true
    throw new Error(answer?.error?.message ?? `Refused with status ${response.status}.`)
  }
  const told = {
    firstMs: /** @type {number | null} */ (null),
    totalMs: /** @type {number | null} */ (null),
    input: null,
    output: null,
    credits: null,
    model: ''
  }
  outcome = told
  for await (const event of eventsOf(response.body)) {
    if (event.error !== undefined) throw new Error(event.error.message)
    const delta = event.choices?.[0]?.delta?.content ?? ''
    if (delta !== '') told.firstMs ??= performance.now() - from
    text = (text + delta).slice(0, MAX_TEXT)
    told.model = event.model ?? told.model
    if (event.usage) {
      told.input = event.usage.prompt_tokens
      told.output = event.usage.completion_tokens
      told.credits = event.usage.credits_used ?? null
    }
    redraw()
  }
  told.totalMs = performance.now() - from
}

/**
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @returns {AsyncGenerator<any>}
 */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const lines = (rest + value).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line.startsWith('data: {')) yield JSON.parse(line.slice(6))
    }
  }
}

/** @param {Record<string, string>} values */
async function tryPrompt(values) {
  try {
    await ask(values)
  } catch (cause) {
    if (stop?.signal.aborted !== true) throw cause
  } finally {
    stop = null
  }
}

export function testPrompt() {
  const signIn = state.account?.signIn.state ?? ''
  if (models.length === 0 && state.session !== null && signIn !== askedAs) {
    askedAs = signIn
    void loadModels('')
  }
  return html`<form class="form" aria-label="Test prompt" @submit=${(/** @type {SubmitEvent} */ event) => asking.submit(event, tryPrompt)}>
      ${
        needsKey
          ? field(asking, {
              name: 'key',
              label: 'Key for the test',
              type: 'password',
              hint: 'One that a client would send. It is not kept.',
              isRequired: true
            })
          : nothing
      }
      <div class="pair">
        ${
          models.length === 0
            ? field(asking, { name: 'model', label: 'Model', value: 'auto' })
            : choice(
                'model',
                'Model',
                models.map((id) => /** @type {const} */ ([id, id])),
                models.find((id) => id.includes('sonnet')) ?? models[0] ?? ''
              )
        }
        ${choice('effort', 'Effort', EFFORTS, '')}
      </div>
      <div class="field"><label for="f-prompt">Prompt</label><textarea id="f-prompt" name="prompt" rows="2" required>Say hello in one sentence.</textarea></div>
      ${formProblem(asking)}
      <div class="tools"><button class="primary" ?disabled=${asking.isBusy}>Send the prompt</button>
        ${stop === null ? nothing : html`<button type="button" class="quiet" @click=${() => stop?.abort()}>Stop</button>`}</div>
    </form>
    ${
      outcome === null
        ? nothing
        : html`<div class="answer" aria-label="Answer" role="region" tabindex="0">${text}</div>
      ${facts(
        [
          [
            'First token',
            html`<span data-metric="test-first-ms">${duration(outcome.firstMs)}</span>`
          ],
          ['Total time', duration(outcome.totalMs)],
          ['Tokens', `${amount(outcome.input)} in, ${amount(outcome.output)} out`],
          ['Credits', html`<span data-metric="test-credits">${credits(outcome.credits)}</span>`],
          ['Model', outcome.model]
        ],
        'pairs'
      )}`
    }`
}
