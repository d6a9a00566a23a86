import t from 'tap'
import { GatewayDesk } from '../../../src/control/panel/gateway-desk.ts'
import type { SettingsOperations } from '../../../src/control/panel/settings-desk.ts'
import { operatorError } from '../../../src/shared/errors.ts'
import { panelCall } from '../../helper/panel-call.ts'

type Operations = Pick<SettingsOperations, 'restart' | 'canRestart' | 'isEnding' | 'next'>

function unused(): never {
  throw new Error('not wanted')
}

function next(): never {
  throw operatorError('LOG_LEVEL is "loud".')
}

function deskWith(operations: Partial<Operations>) {
  const actions: string[] = []
  const all: Operations = {
    restart: () => {},
    canRestart: () => true,
    isEnding: () => false,
    next: unused,
    ...operations
  }
  const desk = new GatewayDesk({
    state: { look: unused },
    lift: unused,
    replaceWorker: unused,
    stateDir: unused,
    operations: () => all,
    audit: { note: async (_call, { action }) => void actions.push(action) }
  })
  return { desk, actions }
}

t.test('GatewayDesk.restart()', async (t) => {
  const refused = async (operations: Partial<Operations>, message: RegExp): Promise<void> => {
    const restart = (): void => void t.fail('restarted')
    const { desk, actions } = deskWith({ restart, ...operations })
    await t.rejects(desk.restart(panelCall()), { code: 'GW_CONFLICT', message })
    t.same(actions, [])
  }
  await refused({ next }, /^LOG_LEVEL is "loud"\.\nThe gateway was not restarted\.$/)
  await refused({ isEnding: () => true }, /already ending/)
  await refused({ canRestart: () => false }, /cannot start itself again/)
})
