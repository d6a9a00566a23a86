/*
 * Loads every module of the program and does nothing, so that the compile cache has them all: `start.js --warm-up`, when
 * the gateway is installed and when its image is built. The first start is then as fast as the next.
 */
await Promise.all([
  import('./cli/program/cli.ts'),
  import('./config/load-process.ts'),
  import('./control/dashboard/dashboard-desk.ts'),
  import('./control/primary.ts'),
  import('./control/start-report.ts'),
  import('./credentials/usual-places.ts'),
  import('./server/worker.ts'),
  import('./simulator/simulator.ts'),
  import('./tracing/tracer.ts')
])
