import { inspectConfig } from '../../config/load.ts'
import type { DeviceCode } from '../../credentials/login/device-login.ts'
import { prepareSignIn } from '../../credentials/own-sign-in.ts'
import { toIso } from '../../shared/dates.ts'
import { messageOf } from '../../shared/errors.ts'
import { type CommandCall, EXIT_OK } from '../command.ts'
import { GatewayOAuth } from '../gateway-sign-in/gateway-oauth.ts'
import {
  gatewaySignInPath,
  lockGatewaySignIn,
  readGatewaySignIn,
  removeGatewaySignIn,
  writeGatewaySignIn
} from '../gateway-sign-in/sign-in-file.ts'
import { networkTo } from '../network.ts'
import { gatewayUrl } from '../setup/gateway.ts'
import { Countdown } from './countdown.ts'

/** Signs this machine in at another gateway, for clients here. */
export async function loginAtGateway(call: CommandCall, address: string): Promise<number> {
  const { config } = inspectConfig(call.env)
  const url = gatewayUrl(address, config)
  const { stateDir } = config.credentials
  await prepareSignIn(stateDir)
  const path = gatewaySignInPath(stateDir)
  const { terminal, signal, isJson } = call
  await using network = networkTo(url, config)
  const oauth = await GatewayOAuth.find(url, network.call)
  using countdown = new Countdown(terminal, 'Waiting for the code to be approved')
  const onCode = (code: DeviceCode): void => {
    if (isJson) {
      const facts = { ...code, expiresAt: toIso(code.expiresAt) }
      terminal.write(JSON.stringify({ event: 'code', ...facts }))
    } else {
      terminal.write(
        `Open this link in any browser and approve the code ${code.userCode}, or ask the operator to:\n\n  ${code.url}\n`
      )
    }
    countdown.start(code.expiresAt)
  }
  const tokens = await oauth.signIn(onCode, (problem) => countdown.remark(problem), signal)
  const lock = await lockGatewaySignIn(path, signal)
  try {
    await writeGatewaySignIn(path, { gateway: url, ...tokens })
  } finally {
    await lock.release()
  }
  if (isJson) terminal.write(JSON.stringify({ event: 'signed-in', gateway: url, path }))
  else {
    terminal.write(`Signed in at ${url}. The sign-in is stored in ${path}.`)
    terminal.write('Next: "kiro-gateway setup claude", codex or pi.')
  }
  return EXIT_OK
}

/** Ends that sign-in at the gateway, and removes it here. */
export async function logoutAtGateway({
  env,
  terminal,
  isJson,
  signal
}: CommandCall): Promise<number> {
  const { config } = inspectConfig(env)
  const path = gatewaySignInPath(config.credentials.stateDir)
  const signIn = await readGatewaySignIn(path)
  let problem: string | null = null
  if (signIn !== null) {
    const lock = await lockGatewaySignIn(path, signal)
    try {
      const { gateway, refreshToken } = (await readGatewaySignIn(path)) ?? signIn
      await using network = networkTo(gateway, config)
      problem = await GatewayOAuth.find(gateway, network.call)
        .then((oauth) => oauth.revoke(refreshToken))
        .then(() => null, messageOf)
      await removeGatewaySignIn(path)
    } finally {
      await lock.release()
    }
  }
  const wasSignedIn = signIn !== null
  if (isJson) terminal.write(JSON.stringify({ event: 'signed-out', wasSignedIn, path, problem }))
  else terminal.write(wasSignedIn ? `Removed ${path}.` : `There is no sign-in in ${path}.`)
  if (problem !== null)
    terminal.note(`The gateway was not told: ${problem} Ask its operator to sign this machine out.`)
  return EXIT_OK
}
