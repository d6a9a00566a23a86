/* Fills the compile cache: `start.js --warm-up`, at installation and when the image is built. */
await Promise.all([
  import('./cli/program/cli.ts'),
  import('./config/load-process.ts'),
  import('./control/dashboard/dashboard-publisher.ts'),
  import('./control/primary.ts'),
  import('./control/start-report.ts'),
  import('./credentials/usual-places.ts'),
  import('./server/rehearsal.ts'),
  import('./server/worker.ts'),
  import('./shared/exit-codes.ts'),
  import('./shared/port-owner.ts'),
  import('./simulator/request-handler.ts'),
  import('./tracing/tracer.ts')
])
