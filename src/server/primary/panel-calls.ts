import { Pending, type ToPrimary } from '../../ipc/channel.ts'
import type { OidcAnswer, OidcCall } from '../../ipc/oidc.ts'
import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import type { PrimaryPulse } from './primary-pulse.ts'

/** Asks the primary, which has all that the panel shows and changes. */
export class PanelCalls {
  readonly #channel: ToPrimary
  readonly #pulse: Pick<PrimaryPulse, 'silence'>
  readonly #calls = new Pending<PanelAnswer>()
  readonly #oidc = new Pending<OidcAnswer>()

  constructor(channel: ToPrimary, pulse: Pick<PrimaryPulse, 'silence'>) {
    this.#channel = channel
    this.#pulse = pulse
  }

  /** @throws {GatewayError} GW_PRIMARY_SILENT */
  ask(call: PanelCall): Promise<PanelAnswer> {
    return this.#calls.ask((requestId) => {
      this.#channel.send({ type: 'panel.call', requestId, call })
    }, this.#pulse.silence)
  }

  onAnswer(requestId: number, answer: PanelAnswer): void {
    this.#calls.answer(requestId, answer)
  }

  /** @throws {GatewayError} GW_PRIMARY_SILENT */
  askOidc(call: OidcCall): Promise<OidcAnswer> {
    return this.#oidc.ask((requestId) => {
      this.#channel.send({ type: 'oidc.call', requestId, call })
    }, this.#pulse.silence)
  }

  onOidc(requestId: number, answer: OidcAnswer): void {
    this.#oidc.answer(requestId, answer)
  }
}
