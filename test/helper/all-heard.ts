import { setTimeout as delay } from 'node:timers/promises'
import type { GatewayProcess } from './gateway-process.ts'
import { PanelClient } from './panel-client.ts'

/**
 * Resolves when all workers go by what the primary has told them so far: it waits for each before it answers an operator.
 * Without `key`, an operator's, for a gateway that has no keys.
 */
export async function allHeard({ url }: Pick<GatewayProcess, 'url'>, key?: string): Promise<void> {
  const operator = key === undefined ? new PanelClient(url) : PanelClient.withKey(url, key)
  for (;;) {
    const { status, json } = await operator.post('/admin/v1/account/lift', { bar: 'none' })
    if (status === 200 && !('silent_workers' in json)) return
    await delay(20) // a worker had no core, or does not know the key yet
  }
}
