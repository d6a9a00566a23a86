import type { FastifyInstance } from 'fastify'
import type { ClusterStatus } from '../../ipc/messages.ts'
import type { AccountUsage, Allowance } from '../../kiro/wire/account-usage.ts'
import { prometheusContentType } from '../../observe/metrics.ts'
import type { DataPlane } from '../plane/data-plane.ts'

/** Where this worker says whether it lives. Answered whatever else is refused. */
export const HEALTH_PATHS: ReadonlySet<string> = new Set(['/health', '/healthz', '/livez'])

/** Whether this worker lives (`/health`) and whether requests can be served (`/readyz`), and if not, why. */
export function healthRoutes(
  app: FastifyInstance,
  plane: DataPlane,
  {
    clusterStatus,
    isPrimarySilent
  }: {
    readonly clusterStatus: () => ClusterStatus | null
    readonly isPrimarySilent: () => boolean
  }
): void {
  for (const path of HEALTH_PATHS) {
    app.get(path, OPEN, (_request, reply) => {
      const isDraining = plane.isDraining()
      return reply.code(isDraining ? 503 : 200).send({ status: isDraining ? 'draining' : 'ok' })
    })
  }
  // Claude Code asks for it when it starts, to see whether there is a way to its server.
  app.get('/api/hello', OPEN, (_request, reply) => reply.send({ message: 'hello' }))
  app.get('/readyz', OPEN, (_request, reply) => {
    const cluster = clusterStatus()
    const problems = [...findProblems(plane, cluster)]
    if (isPrimarySilent()) problems.push(PRIMARY_SILENT)
    return reply.code(problems.length === 0 ? 200 : 503).send({
      status: problems.length === 0 ? 'ready' : 'not ready',
      problems,
      workers: cluster?.workers ?? [],
      upstream: plane.isSimulated ? 'simulator' : 'kiro'
    })
  })
}

const PRIMARY_SILENT =
  'The primary process hangs or was stopped: nobody renews tokens and lends connections.'

/** Health checks have no key. */
const OPEN = { config: { isOpen: true } }

function findProblems(plane: DataPlane, cluster: ClusterStatus | null): readonly string[] {
  const problems: string[] = []
  if (plane.isDraining()) problems.push('The gateway is shutting down.')
  const { problem } = plane.credentials
  if (problem !== null) problems.push(problem.message)
  if (cluster?.isCrashLooping === true) {
    problems.push('A worker keeps dying before it serves: the log says why.')
  }
  return problems
}

/** The metrics of the whole cluster, whichever worker is asked. Needs a key, like every route that tells of usage. */
export function metricsRoute(app: FastifyInstance, clusterText: () => Promise<string>): void {
  app.get('/metrics', async (_request, reply) => {
    const text = await clusterText()
    return reply.header('content-type', prometheusContentType).send(text)
  })
}

/** What the account has used of what it may use, as the upstream counts it. */
export function usageRoute(app: FastifyInstance, accountUsage: () => Promise<AccountUsage>): void {
  for (const path of ['/v1/usage', '/usage']) {
    app.get(path, async () => toAnswer(await accountUsage()))
  }
}

function toAnswer({ plan, resetsAt, allowances, overage }: AccountUsage) {
  const used = sumOf(allowances, 'used')
  const limit = sumOf(allowances, 'limit')
  return {
    object: 'usage',
    plan,
    unit: allowances[0]?.unit ?? null,
    used,
    limit,
    remaining: Math.max(0, limit - used),
    resets_at: resetsAt === null ? null : new Date(resetsAt).toISOString(),
    allowances,
    overage: {
      enabled: overage.isEnabled,
      used: overage.used,
      charges: overage.charges,
      currency: overage.currency
    }
  }
}

function sumOf(allowances: readonly Allowance[], member: 'used' | 'limit'): number {
  return allowances.reduce((sum, allowance) => sum + allowance[member], 0)
}
