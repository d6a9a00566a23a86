import { randomBytes } from 'node:crypto'
import { cookieText, cookieValues, type Sessions } from '../../dashboard/session.ts'

const COOKIE = 'kiro_gateway_device'
const BROWSER = /^[\w-]{22}$/
/** Outlives a code and the time for signing in. */
const COOKIE_S = 3_600

/** Returns the browser's own mark; a new one if it has none. */
export function browserOf(cookies: string | undefined): string {
  const known = cookieValues(cookies, COOKIE).find((value) => BROWSER.test(value))
  return known ?? randomBytes(16).toString('base64url')
}

export function browserCookie(value: string, isSecure: boolean): string {
  return cookieText({ name: COOKIE, value, maxAgeS: COOKIE_S, sameSite: 'Strict', isSecure })
}

export interface FormPlace {
  readonly browser: string
  /** Form token of the user's session; empty before a user has signed in. */
  readonly user: string
  /** Empty for the form that asks for a code. */
  readonly code: string
}

/** Form token of `/device`, bound to the browser that was shown the form, to its user and to the code. */
export function formTokenOf(
  sessions: Pick<Sessions, 'sealOf'>,
  { browser, user, code }: FormPlace
): string {
  return sessions.sealOf(`device\0${browser}\0${user}\0${code}`).toString('base64url')
}
