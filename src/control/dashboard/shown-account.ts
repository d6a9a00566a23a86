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
import type { CredentialControl } from '../account/credential-control.ts'

export interface AccountParts {
  readonly account: {
    readonly credentials: CredentialControl
    readonly forWorker: () => { readonly accountStatus: AccountStatus }
    readonly usage: () => Promise<UsageNews>
  }
  readonly plan: { readonly bar: PlanBar | null; readonly outlook: PlanOutlook | null }
}

interface AboutGateway
  extends Pick<ShownAccount, 'startedAt' | 'isSimulated' | 'quota'>,
    Pick<ShownAccount['settings'], 'workers'> {
  readonly status: Pick<ClusterStatus, 'isCrashLooping' | 'bookProblem'>
  readonly config: Pick<Config, 'pool'>
}

export function toShownAccount(
  { account, plan }: AccountParts,
  { startedAt, isSimulated, quota, workers, status, config }: AboutGateway
): ShownAccount {
  const { outlook, bar } = plan
  return {
    version,
    node: process.versions.node,
    startedAt,
    isSimulated,
    signIn: toSignIn(account.credentials, isSimulated),
    quota,
    outlook: outlook === null ? null : toShownOutlook(outlook),
    problems: problemsOf(account.forWorker().accountStatus, bar, status),
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

function toSignIn(credentials: CredentialControl, isSimulated: boolean): SignInFigures {
  const { endsAt, loginHint, isExpected } = credentials
  const news = credentials.news()
  const { snapshot } = news
  const state = isSimulated ? 'simulator' : isExpected ? stateOf(news) : 'client-keys'
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

function stateOf(news: CredentialNews): SignInFigures['state'] {
  if (news.snapshot !== null) return 'signed-in'
  if (news.isFailing === true) return 'failing'
  return news.problem.code === 'GW_NOT_READY' ? 'waiting' : 'signed-out'
}

function toProblem({ problem }: CredentialNews): DashboardProblem | null {
  return problem === null ? null : { code: problem.code, message: problem.message }
}

/** Without the sign-in's own problem, which is shown with the sign-in. */
function problemsOf(
  { bars }: AccountStatus,
  planBar: PlanBar | null,
  { isCrashLooping, bookProblem }: AboutGateway['status']
): ShownAccount['problems'] {
  const now = Date.now()
  return [
    ...bars
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
