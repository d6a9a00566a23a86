import { spawn } from 'node:child_process'
import type { Environment } from '../../config/load.ts'
import type { CommandCall } from '../command.ts'

export interface Opener {
  readonly program: string
  readonly args: readonly string[]
}

/** Returns what opens a link in a browser of this machine; `null` without a screen, as over SSH. */
export function openerFor(
  url: string,
  { platform, env }: { readonly platform: string; readonly env: Environment }
): Opener | null {
  if (platform === 'darwin') return { program: 'open', args: [url] }
  if (platform === 'win32')
    return { program: 'rundll32', args: ['url.dll,FileProtocolHandler', url] }
  const isRemote = env['SSH_CONNECTION'] !== undefined
  const hasScreen = env['DISPLAY'] !== undefined || env['WAYLAND_DISPLAY'] !== undefined
  return hasScreen && !isRemote ? { program: 'xdg-open', args: [url] } : null
}

type Place = Pick<CommandCall, 'terminal' | 'env'>

/** Says how to open the link, if a person at a terminal can. */
export function browserHint({ terminal, env }: Place, url: string): string | null {
  const opener = openerFor(url, { platform: process.platform, env })
  return terminal.isInteractive && opener !== null ? 'Press Enter to open it in the browser.' : null
}

/** Opens the link; a failure is said, since the link is still there to be copied. */
export function openBrowser({ terminal, env }: Place, url: string): void {
  const opener = openerFor(url, { platform: process.platform, env })
  if (opener === null) return
  const child = spawn(opener.program, opener.args, { stdio: 'ignore', detached: true })
  child.once('error', (error) => {
    terminal.note(`The browser cannot be opened (${error.message}). Copy the link instead.`)
  })
  child.unref()
}

/** Waits for Enter beside what runs. Never rejects: without an answer, the link is opened by hand. */
export async function offerBrowser(call: Place, url: string): Promise<void> {
  const hint = browserHint(call, url)
  if (hint === null) return
  try {
    call.terminal.note(hint) // a line of its own, since the countdown is written over its row
    await call.terminal.ask('')
    openBrowser(call, url)
  } catch {
    // Input has ended, or the command is over.
  }
}
