import { resolve } from 'node:path'
import { inspectConfig } from '../config/load.ts'
import { toIso } from '../shared/dates.ts'
import { type Command, EXIT_OK, textOption, UsageError } from './command.ts'
import { freshSignIn } from './gateway-sign-in/fresh-token.ts'
import { gatewaySignInPath } from './gateway-sign-in/sign-in-file.ts'

export const token: Command = {
  name: 'token',
  summary: 'Prints an access token of a sign-in at a gateway.',
  usage: 'kiro-gateway token [--file PATH]',
  options: { file: { type: 'string' } },
  help: `For clients that run a command to get their key, such as Claude Code (apiKeyHelper), Codex and pi. "kiro-gateway setup"
writes it into their configuration. Prints an access token of "kiro-gateway login --gateway" that lasts at least
15 minutes, and renews it first if need be. An access token lasts an hour.

  --file PATH        File of the sign-in; by default gateway-sign-in.json in STATE_DIR.
`,
  async run(call) {
    if (call.positionals.length > 0) throw new UsageError('token takes only options')
    const given = textOption(call, 'file')
    const { config } = inspectConfig(call.env)
    const path = given === null ? gatewaySignInPath(config.credentials.stateDir) : resolve(given)
    const openWay = async (url: string) => {
      const { networkTo } = await import('./network.ts') // a token that lasts needs none
      return networkTo(url, config)
    }
    const { gateway, accessToken, expiresAt } = await freshSignIn(path, openWay, call.signal)
    const facts = { token: accessToken, gateway, expiresAt: toIso(expiresAt) }
    call.terminal.write(call.isJson ? JSON.stringify(facts) : accessToken)
    return EXIT_OK
  }
}
