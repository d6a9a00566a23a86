/* The page of a person with a named key: what they have used, what is left, and their requests. */
import { get, Loaded } from './api.js'
import { baseUrls, clientSnippets } from './clients.js'
import { creditBar } from './keys.js'
import { html, nothing } from './lit.js'
import { amount, balance } from './format.js'
import { credits, facts, loadState, until, when } from './parts.js'
import { RequestHistory, RequestTable } from './requests.js'
import { UsageView } from './usage.js'

/** @typedef {import('./contract.d.ts').Me} Me */

const REFRESH_MS = 30_000

/** @type {Loaded<Me>} */
const me = new Loaded(() => get('me'))
const table = new RequestTable()
/** @type {RequestHistory | null} */
let past = null
/** @type {UsageView | null} */
let used = null
let askedAt = -Infinity

function newest() {
  return new RequestHistory('me/requests', { since: '90d' })
}

export const own = {
  title: 'Your key',
  leave() {
    me.clear()
    table.close()
    past = used = null
    askedAt = -Infinity
  },
  view() {
    if (performance.now() - askedAt > REFRESH_MS) {
      askedAt = performance.now()
      void me.refresh()
    }
    past ??= newest()
    used ??= new UsageView('me/usage', { split: 'model' })
    const key = me.value?.key ?? null
    if (me.value === null || key === null)
      return html`<h2 class="place-title">Your key</h2>${loadState(me)}`
    const limits = [
      key.max_streams === null ? '' : `${amount(key.max_streams)} streams at the same time`,
      key.requests_per_minute === null
        ? ''
        : `${amount(key.requests_per_minute)} requests a minute`,
      key.models === null ? '' : key.models.join(', ')
    ].filter((text) => text !== '')
    return html`<h2 class="place-title">${key.name}</h2>
      <div class="columns even">
        <section class="card" aria-labelledby="own-title"><h3 id="own-title">${key.credits === null ? 'Credits' : 'Credits left'}</h3>
          ${key.credits === null ? nothing : html`<p class="big">${balance(key.credits.left)} <small>of ${amount(key.credits.limit)}</small></p>`}
          <div class="bar-cell large">${creditBar(key)}</div>
          ${facts([
            ['Resets', until(key.credits?.resets_at, 'never')],
            ['Used today', credits(key.today?.credits)],
            ['In 30 days', credits(key.last_30_days?.credits)],
            ['Limits', limits.length === 0 ? 'none' : limits.join('; ')],
            ['Expires', key.expires_at === null ? 'never' : when(key.expires_at)]
          ])}</section>
        <section class="card" aria-labelledby="clients-title"><h3 id="clients-title">Use it</h3>
          ${clientSnippets('YOUR-KEY')}${baseUrls()}</section>
      </div>
      <section class="card" aria-labelledby="own-requests-title"><div class="card-head"><h3 id="own-requests-title">Your requests</h3>
        <button type="button" class="quiet" @click=${() => {
          table.close()
          past = newest()
        }}>Look for new ones</button></div>
        ${past.rows.length === 0 ? nothing : table.view(past.rows, 'Your requests, newest first.', undefined, 'own')}
        ${past.foot()}</section>
      ${used.view()}`
  }
}
