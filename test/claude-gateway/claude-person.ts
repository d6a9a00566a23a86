import { join } from 'node:path'
import type { Test } from 'tap'
import { type Browser, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { runKiroGateway } from '../helper/cli-process.ts'
import { whyNoTerminal } from '../helper/tmux-terminal.ts'
import { ClaudeTerminal } from './claude-terminal.ts'

/** What all tests with the real Claude Code share: a person who signs in, and an operator who approves. */

export const OPERATOR = 'the-key-of-the-operator'
/** Where the client is installed; kept for the next test. */
export const CLIENTS = join(import.meta.dirname, '../../node_modules/.cache/clients')

/** Why the real Claude Code cannot be driven here; `false` where it can. */
export function whyNoClaude(): string | false {
  return findChromium() === null ? NO_CHROMIUM : whyNoTerminal()
}

export interface Approval {
  /** The gateway whose page is opened. */
  readonly url: string
  readonly code: string
  /** Name of the key that the operator chooses. */
  readonly key: string
}

/** Approves the code that a client shows, in the browser of the operator. @throws {Error} if the page does not show it */
export async function approve({ page }: Browser, { url, code, key }: Approval): Promise<void> {
  await page.goto(`${url}/device?user_code=${code}`)
  await page.getByRole('button', { name: 'Continue' }).click()
  const signIn = page.getByLabel('Key', { exact: true })
  await signIn.waitFor()
  if ((await signIn.getAttribute('type')) === 'password') {
    await signIn.fill(OPERATOR)
    await page.getByRole('button', { name: 'Sign in' }).click()
  }
  const approveIt = page.getByRole('button', { name: 'Approve', exact: true })
  await approveIt.waitFor()
  const shown = await page.textContent('main')
  if (shown?.includes(code) !== true) throw new Error(`the page does not show ${code}: ${shown}`)
  await page.locator('select#key').selectOption({ label: key })
  await approveIt.click()
  await page.getByRole('status').waitFor()
}

export interface SignInOptions {
  /** The program `claude`. */
  readonly program: string
  /** All that the person is told. */
  readonly url: string
  /** What the environment of the person's machine has beside. */
  readonly env?: Readonly<Record<string, string>>
  /** Approves the code; resolves when that is done. */
  readonly approve: (code: string) => Promise<void>
}

/** From an empty home to the first prompt. */
export async function signIn(t: Test, options: SignInOptions): Promise<ClaudeTerminal> {
  const { program, url, env = {} } = options
  const claude = new ClaudeTerminal({ program, env })
  t.teardown(() => claude[Symbol.dispose]())
  const told = ['setup', 'claude', '--sign-in', '--url', url, '--yes']
  const { code, stderr } = await runKiroGateway(told, {
    cwd: claude.home,
    env: { HOME: claude.home, STATE_DIR: join(claude.home, 'state'), ...env }
  })
  if (code !== 0) throw new Error(stderr)
  claude.start()
  await claude.goOn(/Choose the text style/)
  await claude.goOn(/Cloud gateway[^]*Enter to connect/)
  await claude.sees(/Trust gateway (127\.0\.0\.1|localhost)\?/)
  await claude.choose(/Yes, trust/)
  const [userCode = ''] = await claude.sees(/\b[B-Z]{4}-[B-Z]{4}\b/)
  await options.approve(userCode)
  await claude.goOn(/Connected to Cloud gateway/)
  await claude.goOn(/Security notes/)
  await claude.sees(/Accessing workspace/)
  await claude.choose(/Yes, I trust/)
  await claude.sees(/auto mode on/)
  return claude
}
