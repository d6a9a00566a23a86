import {
  PANEL_ACTIONS,
  type PanelAction,
  type PanelAnswer,
  type PanelCall
} from '../../ipc/panel.ts'
import type { Logger } from '../../observe/logger.ts'
import { asGatewayError } from '../../shared/errors.ts'
import { parseJsonObject, textMember } from '../../shared/json.ts'
import { AuditActions, type AuditOptions } from './audit-actions.ts'
import { DeviceActions, type DeviceActionsOptions } from './device-actions.ts'
import { GatewayActions, type GatewayActionsOptions } from './gateway-actions.ts'
import { SettingsActions, type SettingsActionsOptions } from './settings-actions.ts'
import { SignInActions, type SignInActionsOptions } from './sign-in-actions.ts'
import { KeyActions, type KeyActionsOptions } from './key-actions.ts'
import { answer, panelError, type PanelHandler, refusal } from './panel-answer.ts'
import { PersonalQuestions } from './personal-questions.ts'
import { RequestsActions } from './requests-actions.ts'
import { UsageSearcher, type UsageSearcherOptions } from '../usage/usage-searcher.ts'
import { StateActions, type StateActionsOptions } from './state-actions.ts'
import { UsageActions } from './usage-actions.ts'

export interface PanelActionsOptions
  extends StateActionsOptions,
    Omit<SettingsActionsOptions, 'audit'>,
    Pick<SignInActionsOptions, 'isSimulated' | 'signIn' | 'call'>,
    Pick<GatewayActionsOptions, 'lift' | 'judgeAgain' | 'replaceWorker'>,
    Omit<KeyActionsOptions, 'audit' | 'searcher'>,
    Pick<DeviceActionsOptions, 'devices'> {
  readonly keepAudit: AuditOptions['keep']
  readonly usageFile: UsageSearcherOptions['file']
  /** Resolves when all workers go by what has changed, with the slots of those that do not answer. */
  readonly settled: () => Promise<readonly number[]>
  readonly log: Pick<Logger, 'info' | 'error'>
}

/** Does what users of the panel ask for. Who may is known by then. */
export class PanelActions {
  readonly #log: PanelActionsOptions['log']
  readonly #settled: PanelActionsOptions['settled']
  readonly #ownKeys: KeyActions
  readonly #searcher: UsageSearcher
  readonly #ownSearcher: UsageSearcher
  readonly #signIn: SignInActions
  readonly #handlers: Readonly<Record<PanelAction, PanelHandler>>

  constructor(options: PanelActionsOptions) {
    const { log, keepAudit } = options
    const state = new StateActions(options)
    this.#log = log
    this.#settled = options.settled
    const searcher = new UsageSearcher({ file: options.usageFile })
    // What people ask for their own pages never waits before an operator.
    const ownSearcher = new UsageSearcher({ file: options.usageFile })
    const audit = new AuditActions({ keep: keepAudit, searcher, log })
    const keys = new KeyActions({ ...options, audit, searcher })
    const devices = new DeviceActions({ ...options, keyActions: keys })
    const requests = new RequestsActions({ ...options, searcher })
    const gateway = new GatewayActions({ ...options, state, audit })
    const settings = new SettingsActions({ ...options, audit })
    const signIn = new SignInActions({ ...options, state, audit })
    this.#signIn = signIn
    const usage = new UsageActions({ searcher, requests })
    const ownRequests = new RequestsActions({ ...options, searcher: ownSearcher })
    const ownUsage = new UsageActions({ searcher: ownSearcher, requests: ownRequests })
    const people = new PersonalQuestions()
    this.#searcher = searcher
    this.#ownSearcher = ownSearcher
    this.#ownKeys = new KeyActions({ ...options, audit, searcher: ownSearcher })
    this.#handlers = {
      state: () => state.show(),
      'keys.list': () => keys.list(),
      'keys.show': (call) => keys.show(call),
      'keys.add': (call) => keys.add(call),
      'keys.change': (call) => keys.change(call),
      'keys.rotate': (call) => keys.rotate(call),
      'keys.revoke': (call) => keys.revoke(call),
      devices: () => devices.list(),
      'devices.approve': (call) => devices.approve(call),
      'devices.deny': (call) => devices.deny(call),
      'devices.end': (call) => devices.end(call),
      requests: (call) => requests.list(call),
      'requests.show': (call) => requests.show(call),
      usage: (call) => usage.show(call),
      gateway: () => gateway.show(),
      settings: () => settings.list(),
      'settings.reload': (call) => settings.reload(call),
      'account.lift': (call) => gateway.lift(call),
      'worker.recycle': (call) => gateway.recycle(call),
      'gateway.restart': (call) => gateway.restart(call),
      'sign-in': () => signIn.show(),
      'sign-in.begin': (call) => signIn.begin(call),
      'sign-in.paste': (call) => signIn.paste(call),
      'sign-in.cancel': (call) => signIn.cancel(call),
      'sign-out': (call) => signIn.signOut(call),
      audit: (call) => audit.list(call),
      me: (call) => people.take(call.user.key, () => this.#me(call)),
      'me.requests': (call) => people.take(call.user.key, () => ownRequests.list(ofOwn(call))),
      'me.requests.show': (call) => people.take(call.user.key, () => ownRequests.show(ofOwn(call))),
      'me.usage': (call) => people.take(call.user.key, () => ownUsage.show(ofOwn(call)))
    }
  }

  /** Never rejects. */
  async act(call: PanelCall): Promise<PanelAnswer> {
    try {
      const done = await this.#handlers[call.action](call)
      if (PANEL_ACTIONS[call.action][0] !== 'POST') return done
      return withSilent(done, await this.#settled())
    } catch (cause) {
      const error = asGatewayError(cause)
      if (error.code === 'GW_INTERNAL')
        this.#log.error({ err: cause, action: call.action }, 'an action of the panel failed')
      return refusal(error)
    }
  }

  close(): void {
    this.#searcher.close()
    this.#ownSearcher.close()
    this.#signIn.close()
  }

  async #me({ user, baseUrl }: PanelCall): Promise<PanelAnswer> {
    const { role, name, key } = user
    const own = key === null ? null : await this.#ownKeys.own(key)
    return answer({ role, name, key: own, base_url: baseUrl })
  }
}

/** @throws {GatewayError} GW_FIELD_INVALID for an operator, whose requests are those of all keys */
function ofOwn(call: PanelCall): PanelCall {
  if (call.user.key !== null) return call
  throw panelError(
    'GW_FIELD_INVALID',
    'An operator key has no page of its own: ask /admin/v1/requests.'
  )
}

/** Says that a change may not be in force everywhere yet. */
function withSilent(done: PanelAnswer, silent: readonly number[]): PanelAnswer {
  if (silent.length === 0 || done.name !== 'answer') return done
  const who = silent.length === 1 ? `Worker ${silent[0]} does` : `Workers ${silent.join(', ')} do`
  const warning = `${who} not answer: requests there may still be served as before the change. A worker that stays silent is replaced.`
  const before = parseJsonObject(done.body)
  const warnings = [textMember(before ?? {}, 'warning'), warning].filter((one) => one !== null)
  const body = { ...before, silent_workers: silent, warning: warnings.join(' ') }
  return { ...done, body: JSON.stringify(body) }
}
