import type { Config } from '../../config/settings.ts'
import type { DashboardProblem, Quota, ShownAccount } from '../../dashboard/feed.ts'
import type {
  AccountStatus,
  ClusterStatus,
  CredentialNews,
  PlanBar,
  PlanOutlook,
  UsageNews
} from '../../ipc/messages.ts'
import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import { planTotals } from '../../kiro/wire/account-usage.ts'
import { ErrorTable } from '../../shared/error-table.ts'
import { version } from '../../shared/version.ts'

export interface AccountView {
  readonly news: CredentialNews
  readonly status: AccountStatus
  /** True if there is or will be a sign-in; otherwise clients bring their own keys. */
  readonly isExpected: boolean
  readonly endsAt: number | null
  readonly loginHint: string | null
  readonly planBar: PlanBar | null
  readonly outlook: PlanOutlook | null
}

export interface AboutGateway {
  readonly startedAt: number
  readonly isSimulated: boolean
  readonly workers: number
  readonly status: Pick<ClusterStatus, 'isCrashLooping' | 'bookProblem'>
  readonly config: Pick<Config, 'pool'>
  readonly quota: Quota | null
  readonly now: number
}

export function toShownAccount(view: AccountView, about: AboutGateway): ShownAccount {
  const { config, startedAt, isSimulated, quota, workers } = about
  return {
    version,
    node: process.versions.node,
    startedAt,
    isSimulated,
    signIn: toSignIn(view, isSimulated),
    quota,
    outlook: view.outlook === null ? null : toShownOutlook(view.outlook),
    problems: problemsOf(view, about),
    settings: {
      poolTimeoutMs: config.pool.poolTimeoutMs,
      workers
    }
  }
}

function toShownOutlook({ today, since, isDrifting, forecast }: PlanOutlook) {
  return {
    outsideToday: today.outside / MICROS_PER_CREDIT,
    outside: since.outside / MICROS_PER_CREDIT,
    since: since.at,
    isDrifting,
    perDay: forecast === null ? null : forecast.perDay / MICROS_PER_CREDIT,
    usedUpAt: forecast?.usedUpAt ?? null
  }
}

type SignInFigures = ShownAccount['signIn']

function toSignIn(view: AccountView, isSimulated: boolean): SignInFigures {
  const { news, endsAt, loginHint } = view
  const { snapshot } = news
  const state = stateOf(view, isSimulated)
  return {
    isUsable: snapshot !== null || state === 'client-keys',
    state,
    method: snapshot?.authType ?? null,
    region: snapshot?.apiRegion ?? null,
    expiresAt: snapshot?.expiresAt ?? null,
    renewsItself: snapshot !== null && snapshot.authType !== 'api-key',
    endsAt,
    remedy: loginHint,
    problem: state === 'client-keys' ? null : toProblem(news)
  }
}

function stateOf({ news, isExpected }: AccountView, isSimulated: boolean): SignInFigures['state'] {
  if (isSimulated) return 'simulator'
  if (!isExpected) return 'client-keys'
  if (news.snapshot !== null) return 'signed-in'
  if (news.isFailing === true) return 'failing'
  return news.problem.code === 'GW_NOT_READY' ? 'waiting' : 'signed-out'
}

function toProblem({ problem }: CredentialNews): DashboardProblem | null {
  return problem === null ? null : { code: problem.code, message: problem.message }
}

/** Without the sign-in's own problem, which is shown with the sign-in. */
function problemsOf(
  { status, planBar }: AccountView,
  { status: { isCrashLooping, bookProblem }, now }: AboutGateway
): ShownAccount['problems'] {
  return [
    ...status.bars
      .filter(({ until }) => until > now)
      .map((bar) => ({ ...bar, message: ErrorTable[bar.code].message })),
    ...(planBar === null ? [] : [{ ...planBar, bar: 'overage' }]),
    ...(isCrashLooping ? [CRASH_LOOPING] : []),
    ...(bookProblem === undefined ? [] : [{ ...BOOK_TROUBLE, message: bookProblem }])
  ]
}

const CRASH_LOOPING = {
  code: 'GW_INTERNAL',
  message: 'A worker repeatedly dies during start-up. The reason is in the log.',
  until: null,
  bar: null
} as const

const BOOK_TROUBLE = { code: 'GW_KEY_BOOK', until: null, bar: null } as const

export function toQuota({ usage, problem }: UsageNews): Quota {
  if (usage === null) {
    const { code, message } = problem
    return { ...NO_QUOTA, problem: { code, message } }
  }
  const { plan, resetsAt, allowances, overage } = usage
  const { used, limit } = planTotals(usage)
  return {
    plan,
    unit: allowances[0]?.unit ?? null,
    used,
    limit,
    remaining: Math.max(0, limit - used),
    resetsAt,
    overage: { isEnabled: overage.isEnabled },
    problem: null
  }
}

const NO_QUOTA = {
  plan: null,
  unit: null,
  used: null,
  limit: null,
  remaining: null,
  resetsAt: null,
  overage: null
} as const
