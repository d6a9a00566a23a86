import type { PanelAnswer, PanelCall } from '../ipc/panel.ts'
import { asGatewayError } from '../shared/errors.ts'
import type { PanelDesk, PanelDeskOptions } from './panel/panel-desk.ts'

/** The panel's part in the primary. Its code is loaded with the first call. */
export class PanelControl {
  readonly #options: PanelDeskOptions
  #loading: Promise<PanelDesk> | null = null

  constructor(options: PanelDeskOptions) {
    this.#options = options
  }

  close(): void {
    void this.#loading?.then((desk) => desk.close()).catch(() => {})
  }

  /** Never rejects. */
  async answer(call: PanelCall): Promise<PanelAnswer> {
    try {
      this.#loading ??= this.#load()
      const desk = await this.#loading
      return await desk.act(call)
    } catch (cause) {
      this.#loading = null
      this.#options.log.error({ err: cause }, 'the panel cannot be loaded')
      return { name: 'refusal', error: asGatewayError(cause).toData(), more: {} }
    }
  }

  async #load(): Promise<PanelDesk> {
    const { PanelDesk } = await import('./panel/panel-desk.ts')
    return new PanelDesk(this.#options)
  }
}
