import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Teardown {
  teardown(close: () => unknown): void
}

/**
 * An empty folder for what gateways keep. It goes after the gateways of the test, whose teardowns are added later; one
 * of `t.testdir()` would go before them, while they still write into it.
 */
export function stateFolder(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'kiro-gateway-state-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}
