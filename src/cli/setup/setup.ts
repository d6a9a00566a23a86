import { type Command, EXIT_FAILED } from '../command.ts'
import { Clients } from './clients.ts'

const CLIENT_WORDS = Object.keys(Clients).join('|')

export const setup: Command = {
  name: 'setup',
  summary: 'Sets up Claude Code, Codex or another client; --undo.',
  usage: `kiro-gateway setup ${CLIENT_WORDS} [--url URL] [--key KEY] [--model MODEL] [--print] [--yes]
kiro-gateway setup claude --sign-in [--url URL] [--model MODEL] [--print] [--yes]
kiro-gateway setup claude --server [--url URL]
kiro-gateway setup ${CLIENT_WORDS} --undo [--print] [--yes]`,
  options: {
    url: { type: 'string' },
    key: { type: 'string' },
    model: { type: 'string' },
    'sign-in': { type: 'boolean' },
    server: { type: 'boolean' },
    print: { type: 'boolean' },
    undo: { type: 'boolean' },
    yes: { type: 'boolean', short: 'y' }
  },
  help: `Says which of the client's own files change, and asks before writing. The rest of the file is not changed.
A file that receives a key is made private.

  --url URL          Address of the gateway; by default from SERVER_HOST and SERVER_PORT.
  --key KEY          Key that the client sends, or "-" to read it from standard input; by default the first of PROXY_API_KEY.
                     Without either, a sign-in of "kiro-gateway login --gateway" is used: Claude Code, Codex and pi then
                     run "kiro-gateway token".
  --model MODEL      Initial model, one of those listed by GET /v1/models.
  --sign-in          No key: Claude Code signs in to the gateway with /login. Offered first where it can.
  --server           Prints the file with which an administrator has Claude Code sign in on all machines.
  --undo             Restores the original files byte for byte, but keeps later changes.
  --print            Only prints each line that would change.
  --yes              Does not ask.`,
  exitCodes: [
    { code: EXIT_FAILED, meaning: 'the question was not answered with yes, so nothing was changed' }
  ],
  // Imported on demand with three parsers.
  run: async (call) => (await import('./run-setup.ts')).runSetup(call)
}
