import t from 'tap'
import { GatewayActions } from '../../../src/control/panel/gateway-actions.ts'
import type { SettingsOperations } from '../../../src/control/panel/settings-actions.ts'
import { operatorError } from '../../../src/shared/errors.ts'
import { panelCall } from '../../helper/panel-call.ts'

type Operations = Pick<SettingsOperations, 'restart' | 'canRestart' | 'isEnding' | 'next'>

function unused(): never {
  throw new Error('not wanted')
}

function next(): never {
  throw operatorError('LOG_LEVEL is "loud".')
}

function gatewayWith(operations: Partial<Operations>) {
  const actions: string[] = []
  const all: Operations = {
    restart: () => {},
    canRestart: () => true,
    isEnding: () => false,
    next: unused,
    ...operations
  }
  const panel = new GatewayActions({
    state: { look: unused },
    lift: unused,
    judgeAgain: unused,
    replaceWorker: unused,
    config: unused,
    operations: () => all,
    audit: { note: async (_call, { action }) => void actions.push(action) }
  })
  return { panel, actions }
}

t.test('GatewayActions.restart()', async (t) => {
  const refused = async (operations: Partial<Operations>, message: RegExp): Promise<void> => {
    const restart = (): void => void t.fail('restarted')
    const { panel, actions } = gatewayWith({ restart, ...operations })
    await t.rejects(panel.restart(panelCall()), { code: 'GW_CONFLICT', message })
    t.same(actions, [])
  }
  await refused({ next }, /^LOG_LEVEL is "loud"\.\nThe gateway was not restarted\.$/)
  await refused({ isEnding: () => true }, /already ending/)
  await refused({ canRestart: () => false }, /cannot start itself again/)
})
