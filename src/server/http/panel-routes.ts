import { PANEL_ACTION_NAMES, PANEL_ACTIONS } from '../../ipc/panel.ts'
import { loadOnce } from '../../shared/single-flight.ts'
import type { PageParts } from './dashboard-routes.ts'
import { isDeviceSignInOff } from './oauth-routes.ts'
import { type Route, routeUnknown } from './router.ts'

/** Routes of the panel's API. Its code is loaded on first use. */
export function panelRoutes(options: PageParts): readonly Route[] {
  const load = loadOnce(async () => {
    const { PanelServer } = await import('./panel-server.ts')
    return new PanelServer(options)
  })
  return PANEL_ACTION_NAMES.map((action) => {
    const [method, path] = PANEL_ACTIONS[action]
    return {
      method,
      path,
      isOpen: true, // finds out itself who asks
      isOff: () => action.startsWith('devices') && isDeviceSignInOff(options.current.config),
      serve: async (routed) => {
        if (options.current.config.observe.dashboard === 'off')
          throw routeUnknown(routed.request, 'DASHBOARD=off')
        const server = await load()
        await server.serve(action, routed)
      }
    }
  })
}
