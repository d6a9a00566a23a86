import type { Config } from '../../config/settings.ts'
import { BUILDER_ID, readLoginRegion, readStartUrl } from '../../credentials/login/device-login.ts'
import { forgetSignIn } from '../../credentials/forget-sign-in.ts'
import { prepareSignIn, saveSignIn } from '../../credentials/own-sign-in.ts'
import { WALL_CLOCK } from '../../credentials/renew.ts'
import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { JsonObject } from '../../shared/json.ts'
import { toIso } from '../../shared/dates.ts'
import { withinTime } from '../../shared/within-time.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'
import type { CredentialControl } from '../account/credential-control.ts'
import type { AuditActions } from './audit-actions.ts'
import { answer, givenText, ofField, panelError, refusal } from './panel-answer.ts'
import { SignInFlow, type SignInWay } from './sign-in-flow.ts'
import type { StateActions } from './state-actions.ts'

/** The sign-in that the gateway uses. */
export type PanelAccount = Pick<CredentialControl, 'isOwn' | 'sourceName' | 'forget' | 'lookAgain'>

export interface SignInActionsOptions {
  readonly config: () => Config
  readonly isSimulated: boolean
  readonly signIn: () => PanelAccount
  readonly call: JsonCall
  readonly state: Pick<StateActions, 'look'>
  readonly audit: Pick<AuditActions, 'note'>
}

/** A code is there within a second or two; the page asks again for a late one. */
const SHOWN_MS = 8_000

/** Signs the gateway in to Kiro, and out. */
export class SignInActions {
  readonly #options: SignInActionsOptions
  #flow: SignInFlow | null = null

  constructor(options: SignInActionsOptions) {
    this.#options = options
  }

  async show(): Promise<PanelAnswer> {
    const { account } = await this.#options.state.look()
    const { state, method, region, expiresAt, endsAt, problem } = account.signIn
    return answer({
      state,
      method,
      region,
      expires_at: toIso(expiresAt),
      ends_at: toIso(endsAt),
      problem,
      source_is_own: this.#options.signIn().isOwn,
      flow: this.#flow?.toJson() ?? null
    })
  }

  async begin(call: PanelCall): Promise<PanelAnswer> {
    const { config, isSimulated } = this.#options
    const { credentials, upstream } = config()
    const way = wayIn(call.body, credentials.region)
    const { stateDir } = credentials
    await prepared(stateDir) // a sign-in that cannot be kept would be lost
    const running = this.#flow // nothing may be awaited from here until there is a new one
    if (running?.isRunning === true) {
      const message = 'A sign-in is already running. Finish or cancel it first.'
      return refusal(panelError('GW_CONFLICT', message), { flow: running.toJson() })
    }
    const source = this.#options.signIn()
    const flow = new SignInFlow({
      way,
      isRestartNeeded: isSimulated || !source.isOwn,
      service: { call: this.#options.call, upstream, clock: WALL_CLOCK },
      save: async (signIn) => {
        await saveSignIn(stateDir, signIn)
        await source.lookAgain()
        await this.#options.audit.note(call, {
          action: 'sign-in.done',
          subject: signIn.provider,
          after: { provider: signIn.provider, region: signIn.region }
        })
      }
    })
    this.#flow = flow
    await this.#options.audit.note(call, { action: 'sign-in.start', subject: way.provider })
    await withinTime(flow.shown, SHOWN_MS)
    return answer({ flow: flow.toJson() }, 201)
  }

  async paste({ body }: PanelCall): Promise<PanelAnswer> {
    const address = givenText(body, 'address')
    if (address === null) {
      throw panelError(
        'GW_FIELD_INVALID',
        'Paste the address at which the browser ended.',
        'address'
      )
    }
    const flow = this.#running()
    await flow.paste(address)
    return answer({ flow: flow.toJson() })
  }

  async cancel(call: PanelCall): Promise<PanelAnswer> {
    const flow = this.#running()
    if (!flow.cancel()) {
      const message = 'The sign-in is confirmed and is being saved. Sign out to undo it.'
      throw panelError('GW_CONFLICT', message)
    }
    await this.#options.audit.note(call, {
      action: 'sign-in.cancel',
      subject: flow.toJson().provider
    })
    return answer({ flow: flow.toJson() })
  }

  async signOut(call: PanelCall): Promise<PanelAnswer> {
    const { config, isSimulated } = this.#options
    const { credentials, fleet } = config()
    const source = this.#options.signIn()
    if (fleet.url !== null) throw panelError('GW_CONFLICT', FLEET)
    if (!isSimulated && !source.isOwn) {
      const message = `The sign-in is not the panel's: it comes from ${source.sourceName ?? 'the clients'}. Remove it there.`
      throw panelError('GW_CONFLICT', message)
    }
    const wasSignedIn = await source.forget(() =>
      forgetSignIn(credentials.stateDir, credentials.region)
    )
    await this.#options.audit.note(call, { action: 'sign-out', subject: 'Kiro' })
    const sentence = wasSignedIn
      ? 'Signed out. Requests are refused until somebody signs in again.'
      : 'There was no sign-in.'
    return answer({ was_signed_in: wasSignedIn, sentence })
  }

  close(): void {
    this.#flow?.cancel()
  }

  #running(): SignInFlow {
    const flow = this.#flow
    if (flow?.isRunning === true) return flow
    throw panelError('GW_CONFLICT', 'No sign-in is running.')
  }
}

const FLEET =
  'The gateways of a fleet share their sign-in. Run "kiro-gateway logout" for each of them and restart them.'

/** @throws {GatewayError} GW_CONFLICT if the folder cannot be written */
async function prepared(stateDir: string): Promise<void> {
  try {
    await prepareSignIn(stateDir)
  } catch (cause) {
    if (cause instanceof GatewayError) throw panelError('GW_CONFLICT', cause.message)
    throw cause
  }
}

/** @throws {GatewayError} GW_FIELD_INVALID */
function wayIn(body: JsonObject, usualRegion: string): SignInWay {
  const provider = givenText(body, 'provider') ?? 'builder-id'
  switch (provider) {
    case 'google':
    case 'github':
      return { provider }
    case 'builder-id':
      return { provider, ...BUILDER_ID }
    case 'organisation': {
      const url = givenText(body, 'start_url') ?? ''
      const region = givenText(body, 'region') ?? usualRegion
      return {
        provider,
        startUrl: ofField('start_url', () => readStartUrl(url, 'The start URL')),
        region: ofField('region', () => readLoginRegion(region, 'The region'))
      }
    }
    default: {
      const message = '"provider" is builder-id, organisation, google or github.'
      throw panelError('GW_FIELD_INVALID', message, 'provider')
    }
  }
}
