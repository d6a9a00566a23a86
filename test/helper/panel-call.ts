import type { PanelCall } from '../../src/ipc/panel.ts'

/** An operator's call of the panel, as the desks get it from a worker. */
export function panelCall(body: PanelCall['body'] = {}): PanelCall {
  return {
    action: 'gateway.restart',
    user: { role: 'operator', name: 'operator', key: null, via: 'key', address: '127.0.0.1' },
    params: {},
    query: {},
    body,
    ifMatch: null,
    baseUrl: 'http://127.0.0.1'
  }
}
