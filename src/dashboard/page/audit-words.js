/* Words of the audit log: what was done, and what it changed. */
import { amount, shortTime } from './format.js'

/** @typedef {import('./contract.d.ts').AuditEntry} AuditEntry */

/** @type {Readonly<Record<string, string>>} */
const ACTIONS = {
  'key.add': 'added the key',
  'key.change': 'changed the key',
  'key.rotate': 'made a new key for',
  'key.revoke': 'revoked the key',
  'key.remove': 'took back the unused key',
  'device.approve': 'approved the device with the code',
  'device.deny': 'denied the device with the code',
  'device.end': 'signed out the device',
  'settings.reload': 'reloaded the settings',
  'settings.reload.failed': 'could not reload the settings',
  'account.lift': 'lifted',
  'worker.recycle': 'recycled',
  'gateway.restart': 'restarted the',
  'sign-in.start': 'began a sign-in to Kiro',
  'sign-in.done': 'signed in to Kiro',
  'sign-in.cancel': 'cancelled a sign-in to Kiro',
  'sign-out': 'signed out of Kiro'
}

/** @param {Pick<AuditEntry, 'action'>} entry */
export function actionOf({ action }) {
  return ACTIONS[action] ?? action
}

/**
 * @param {AuditEntry} entry
 * @returns {string} such as `requests a minute 5 → none; LOG_LEVEL info → debug`
 */
export function changesOf({ action, before, after }) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])]
  const changes = names
    .filter((name) => (before !== null && after !== null) || !REPEATED.has(name))
    .map((name) => ({ name, was: textOf(before?.[name]), is: textOf(after?.[name]) }))
    .filter(({ was, is }) => was !== is)
    .map(({ name, was, is }) => {
      const words = wordsOf(name)
      return before === null ? `${words} ${is}` : `${words} ${was} → ${is}`
    })
  if (changes.length === 0 && action === 'settings.reload') return 'nothing has changed'
  return changes.join('; ')
}

/** Facts of something new or gone that its row tells anyway. */
const REPEATED = new Set(['id', 'name'])

/** @type {Readonly<Record<string, string>>} */
const FACTS = {
  requests_per_minute: 'requests a minute',
  max_streams: 'streams at the same time',
  overage: 'at extra cost',
  old_key_until: 'earlier key valid until'
}

/** Names of settings stay as they are written in `.env`. @param {string} name */
function wordsOf(name) {
  if (name === name.toUpperCase()) return name
  return FACTS[name] ?? name.replaceAll('_', ' ')
}

const ISO_TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/

/** @param {unknown} value */
function textOf(value) {
  if (value === undefined || value === null || value === '') return 'none'
  if (typeof value === 'string') return ISO_TIME.test(value) ? shortTime(Date.parse(value)) : value
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ')
  const { limit = null, period = '' } = Object(value)
  if (limit !== null) return `${amount(limit)} ${period === 'total' ? 'in all' : `a ${period}`}`
  return JSON.stringify(value)
}
