import { isTracing } from '../../config/trace-settings.ts'
import type { WorkerStart } from '../../ipc/messages.ts'
import type { Logger } from '../../observe/logger.ts'
import type { TurnTracer } from '../../tracing/turn-trace.ts'
import type { OwnPlane } from '../worker/data-plane.ts'

/**
 * Loads the recorder and the tracer only if DEBUG_CONTENT or OTEL_EXPORTER_OTLP_ENDPOINT is set. Precedes
 * requests.
 */
export async function addWatchers(plane: OwnPlane, start: WorkerStart, log: Logger): Promise<void> {
  const { config, memory } = start
  if (config.observe.keepsContent) {
    const { createTurnRecorder } = await import('../worker/turn-capture.ts')
    plane.recorder = createTurnRecorder(plane, { log, workers: memory.workers })
  }
  plane.tracing.tracer = await loadTracer(plane, start, log)
}

/** If it cannot be loaded, requests are served without. */
async function loadTracer(
  { metrics }: OwnPlane,
  { config, workerId }: WorkerStart,
  log: Logger
): Promise<TurnTracer | null> {
  const settings = config.traces
  const { endpoint } = settings
  if (endpoint === null || !isTracing(config)) return null
  try {
    const { createTurnTracer } = await import('../../tracing/tracer.ts')
    return createTurnTracer({ settings, endpoint, workerId, log, metrics })
  } catch (err) {
    log.error({ err }, 'requests are not traced: the tracing libraries cannot be loaded')
    return null
  }
}
