import type { Config } from '../../../config/settings.ts'
import { DRIFT_CAUSES } from '../../../control/alerts/alert.ts'
import { usagePath } from '../../../control/book/usage-sums.ts'
import { dayOf, growthOn, isDrifting, outsideOf } from '../../../control/plan/plan-record.ts'
import { readPlan } from '../../../control/usage/usage-report.ts'
import type { StoredCredential } from '../../../credentials/stored-credential.ts'
import type { LookedAt } from '../../../credentials/usual-places.ts'
import { MICROS_PER_CREDIT } from '../../../keys/key.ts'
import { type AccountUsage, planTotals } from '../../../kiro/wire/account-usage.ts'
import type { CredentialSnapshot } from '../../../kiro/wire/credential-snapshot.ts'
import { toGatewayError, type UpstreamFault } from '../../../kiro/wire/fault.ts'
import type { ModelFacts } from '../../../kiro/models/models.ts'
import { asGatewayError, type ErrorCode, type GatewayError } from '../../../shared/errors.ts'
import { failureOf } from '../../../shared/failures.ts'
import { askUsage } from '../../../upstream/call/account-calls.ts'
import { isConnectFailure } from '../../../upstream/classify.ts'
import type { Check, Checkup } from './checkup.ts'
import { type DoctorFinding, found } from './finding.ts'
import { listModelsOf } from './known-models.ts'
import type { KnownSignIn } from './known-sign-in.ts'

/** Reads the sign-in without renewing it: a refresh token works once, and a gateway may be running. */
export const signInCheck: Check = {
  id: 'sign-in',
  title: 'sign-in',
  async run(checkup) {
    const known = await checkup.signIn()
    const { name, loginHint, stored, error } = known
    if (error !== null) {
      const change = loginHint === null ? {} : { change: `Correct it, or: ${loginHint}` }
      return [found('credentials-unreadable', error.message, change)]
    }
    if (name === null || stored === null) return judgeNone(known, checkup.config)
    return [...judgeSignIn({ ...known, stored }), ...judgePassedOver(known)]
  }
}

function judgeSignIn({
  name,
  loginHint,
  stored,
  snapshot
}: KnownSignIn & { readonly stored: StoredCredential }): readonly DoctorFinding[] {
  const { authType, expiresAt, renewalProblem } = stored
  const kind = `${name} holds a sign-in of kind "${authType}"`
  const change = loginHint === null ? {} : { change: loginHint }
  const until = expiresAt === null ? '' : ` until ${new Date(expiresAt).toISOString()}`
  const isRenewable = renewalProblem === null && stored.refreshToken !== null
  if (snapshot === null) {
    const since = expiresAt === null ? 'has no valid token' : `has expired (${toTime(expiresAt)})`
    if (isRenewable) return [found('credentials-expired', `${kind}; its token ${since}.`)]
    const why = renewalProblem ?? 'there is no refresh token'
    return [found('credentials-dead', `${kind}, which ${since}: ${why}.`, change)]
  }
  const usable = found('credentials-usable', `${kind}, good${until}.`)
  if (isRenewable || authType === 'api-key') return [usable]
  const why = renewalProblem ?? 'there is no refresh token'
  return [usable, found('credentials-not-renewable', `It cannot be renewed: ${why}.`, change)]
}

function judgePassedOver({
  passedOver
}: Pick<KnownSignIn, 'passedOver'>): readonly DoctorFinding[] {
  if (passedOver.length === 0) return []
  return [found('credentials-passed-over', textOf(passedOver))]
}

function textOf(places: readonly LookedAt[]): string {
  return places.map(({ place, problem }) => `${place}: ${problem}`).join('; ')
}

const NOT_STARTED = {
  level: 'problem',
  why: 'The gateway does not start without one here (NODE_ENV=production).'
} as const

function judgeNone(
  { passedOver }: Pick<KnownSignIn, 'passedOver'>,
  { isProduction, credentials }: Config
): readonly DoctorFinding[] {
  const { creds, isLoginWanted, isKeyPassthrough } = credentials
  const nowhere =
    passedOver.length === 0
      ? 'none of the usual places holds a sign-in.'
      : `none of the usual places can be used: ${textOf(passedOver)}`
  const none = 'No source of credentials is set'
  const what = creds === 'auto' ? `${none}, and ${nowhere}` : `${none}.`
  if (isLoginWanted) return [found('credentials-awaited', what)]
  if (isKeyPassthrough) return [found('credentials-of-clients', what)]
  if (isProduction && creds === 'none') return [] // an error of the settings then
  return [found('credentials-none', what, isProduction ? NOT_STARTED : {})]
}

function toTime(epochMs: number): string {
  return new Date(epochMs).toISOString()
}

/** Lists models and usage: calls that cost nothing. */
export const accountCheck: Check = {
  id: 'models',
  title: 'models and account',
  async run(checkup) {
    const snapshot = await checkup.account()
    if (snapshot === null)
      return [found('models-not-asked', 'Not checked, because there is no valid token.')]
    const asked = await Promise.all([checkModels(checkup, snapshot), checkUsage(checkup, snapshot)])
    const findings = [...asked, ...(await checkDrift(checkup))]
    const isOrganisation = snapshot.authType === 'idc' || snapshot.authType === 'external-idp'
    if (snapshot.profileArn !== null || !isOrganisation) return findings
    return [...findings, found('profile-missing', 'No profile was found for this account.')]
  }
}

async function checkModels(checkup: Checkup, snapshot: CredentialSnapshot): Promise<DoctorFinding> {
  const known = await listModelsOf(snapshot, checkup)
  switch (known.name) {
    case 'listed':
      return judgeModels(known.models)
    case 'refused':
      return judgeRefusal(known.fault, (await checkup.signIn()).loginHint)
    case 'unanswered':
      break
  }
  return found('models-unavailable', `The model list is unavailable: ${reasonOf(known.error)}`)
}

function judgeModels(models: readonly ModelFacts[]): DoctorFinding {
  const claude = models.filter(({ id }) => id.startsWith('claude-'))
  const what = `The upstream lists ${models.length} models, ${claude.length} of them Claude.`
  return found(claude.length === 0 ? 'models-few' : 'models-listed', what)
}

const PASSING: readonly ErrorCode[] = ['GW_UPSTREAM_RATE_LIMITED', 'GW_UPSTREAM_OVERLOADED']

const CHANGES: Readonly<Partial<Record<ErrorCode, string>>> = {
  GW_UPSTREAM_SUSPENDED: 'Only Kiro support can lift this (https://kiro.dev). Do not keep trying.',
  GW_UPSTREAM_RESTRICTED:
    'Do not use the account for some hours: each further call prolongs the limit.',
  GW_CLIENT_NOT_ADMITTED:
    "Use an API key of this account (KIRO_API_KEY), or ask your organisation's administrator to admit the gateway.",
  GW_UPSTREAM_FORBIDDEN:
    'Check PROFILE_ARN and KIRO_API_REGION: they must belong to the signed-in account.',
  GW_UPSTREAM_REFUSED:
    'Check PROFILE_ARN and KIRO_API_REGION: a profile of another region is refused in the same way.'
}

function judgeRefusal(fault: UpstreamFault, loginHint: string | null): DoctorFinding {
  const { code, status, message } = fault
  const what = `The model list request was refused with HTTP ${status}: ${message}`
  // The only 403 that does not come from the service: a web page.
  if (status === 403 && code === 'GW_UPSTREAM_STATUS') return found('models-blocked', what)
  if (status >= 500 || PASSING.includes(code)) return found('models-unavailable', what)
  const signIn = `A running gateway renews the token. ${loginHint ?? ''}`.trim()
  const change = code === 'GW_UPSTREAM_AUTH' ? signIn : CHANGES[code]
  const failure = code === 'GW_UPSTREAM_AUTH' ? null : failureOf(code) // a token may only be old
  return found('models-refused', what, {
    ...(change !== undefined && { change }),
    ...(failure !== null && failure !== 'not-ready' && { code: failure })
  })
}

async function checkUsage(checkup: Checkup, snapshot: CredentialSnapshot): Promise<DoctorFinding> {
  const { network, config, signal } = checkup
  const { upstream, plan } = config
  const asked = { call: network.call, upstream, snapshot, signal }
  const answer = await askUsage(asked).catch((cause: unknown) => asGatewayError(cause))
  if (!('code' in answer)) return judgeUsage(answer, plan)
  const problem = answer instanceof Error ? answer : toGatewayError(answer)
  return found('account-unknown', `The account's usage is unavailable: ${reasonOf(problem)}`)
}

async function checkDrift({ config }: Checkup): Promise<readonly DoctorFinding[]> {
  const story = await readPlan(usagePath(config.credentials.stateDir))
  const today = dayOf(Date.now())
  if (story === null || !isDrifting(story.record, today)) return []
  const outside = outsideOf(growthOn(story.record, today)) / MICROS_PER_CREDIT
  const what = `${round(outside)} credits used today did not go through this gateway, or were not metered.`
  return [found('account-drift', what, { why: DRIFT_CAUSES })]
}

function reasonOf(problem: Pick<GatewayError, 'code' | 'message'>): string {
  return isConnectFailure(problem) ? 'its host cannot be reached.' : problem.message
}

function judgeUsage(usage: AccountUsage, { allowsOverage }: Config['plan']): DoctorFinding {
  const { plan, overage, resetsAt } = usage
  const { used, limit, unit } = planTotals(usage)
  const reset =
    resetsAt === null ? '' : `, reset on ${new Date(resetsAt).toISOString().slice(0, 10)}`
  const what = `Plan ${plan ?? 'unknown'}: ${round(used)} of ${round(limit)} ${unit} used${reset}.`
  const isUsedUp = limit > 0 && used >= limit && !(overage.isEnabled && allowsOverage)
  if (isUsedUp && overage.isEnabled) return found('account-used-up', what, { change: MAY_COST })
  return found(isUsedUp ? 'account-used-up' : 'account-good', what)
}

const MAY_COST =
  'Wait for the reset, or pay for further credits: set ALLOW_OVERAGE=true, or run kiro-gateway key set NAME --overage.'

function round(amount: number): number {
  return Math.round(amount * 100) / 100
}
