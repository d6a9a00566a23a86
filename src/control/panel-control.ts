import type { PanelAnswer, PanelCall } from '../ipc/panel.ts'
import { asGatewayError } from '../shared/errors.ts'
import type { PanelActions, PanelActionsOptions } from './panel/panel-actions.ts'

/** The panel's part in the primary. Its code is loaded with the first call. */
export class PanelControl {
  readonly #options: PanelActionsOptions
  #loading: Promise<PanelActions> | null = null

  constructor(options: PanelActionsOptions) {
    this.#options = options
  }

  close(): void {
    void this.#loading?.then((panel) => panel.close()).catch(() => {})
  }

  /** Never rejects. */
  async answer(call: PanelCall): Promise<PanelAnswer> {
    try {
      this.#loading ??= this.#load()
      const panel = await this.#loading
      return await panel.act(call)
    } catch (cause) {
      this.#loading = null
      this.#options.log.error({ err: cause }, 'the panel cannot be loaded')
      return { name: 'refusal', error: asGatewayError(cause).toData(), more: {} }
    }
  }

  async #load(): Promise<PanelActions> {
    const { PanelActions } = await import('./panel/panel-actions.ts')
    return new PanelActions(this.#options)
  }
}
