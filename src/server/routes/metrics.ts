import type { FastifyInstance } from 'fastify'
import { prometheusContentType } from '../../observe/merge-snapshots.ts'

/** The metrics of the whole cluster, whichever worker is asked. Needs a key, like every route that tells of usage. */
export function metricsRoute(app: FastifyInstance, clusterText: () => Promise<string>): void {
  app.get('/metrics', async (_request, reply) => {
    const text = await clusterText()
    return reply.header('content-type', prometheusContentType).send(text)
  })
}
