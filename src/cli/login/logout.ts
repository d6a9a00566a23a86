import { inspectConfig } from '../../config/load.ts'
import { forgetSignIn } from '../../credentials/forget-sign-in.ts'
import { signInPath } from '../../credentials/own-sign-in.ts'
import { codeOf, operatorError } from '../../shared/errors.ts'
import { type Command, EXIT_OK, UsageError } from '../command.ts'

export const logout: Command = {
  name: 'logout',
  summary: 'Removes the stored sign-in.',
  usage: `kiro-gateway logout
kiro-gateway logout --gateway`,
  options: { gateway: { type: 'boolean' } },
  help: `Removes the sign-in that "kiro-gateway login" stored in STATE_DIR, with its renewed tokens. Sign-ins of other
programs, such as the Kiro IDE, and keys in the settings are not changed. A running gateway keeps its sign-in in memory
until it is restarted.

  --gateway          Ends the sign-in of "kiro-gateway login --gateway" instead: at that gateway, and here.
`,
  async run(call) {
    const { env, terminal, isJson, positionals, values } = call
    if (positionals.length > 0) throw new UsageError('logout takes no arguments')
    if (values['gateway'] === true) {
      const { logoutAtGateway } = await import('./gateway-login.ts')
      return logoutAtGateway(call)
    }
    const { stateDir, region } = inspectConfig(env).config.credentials
    const path = signInPath(stateDir)
    const wasSignedIn = await forgetSignIn(stateDir, region).catch((cause: unknown) => {
      const message = `STATE_DIR: ${path} cannot be removed (${codeOf(cause)}).`
      throw operatorError(message, cause)
    })
    if (isJson) terminal.write(JSON.stringify({ event: 'signed-out', wasSignedIn, path }))
    else terminal.write(wasSignedIn ? `Removed ${path}.` : `There is no sign-in in ${path}.`)
    return EXIT_OK
  }
}
