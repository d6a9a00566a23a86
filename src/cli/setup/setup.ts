import type { Command } from '../command.ts'
import { Clients } from './clients.ts'

const CLIENT_WORDS = Object.keys(Clients).join('|')

/** Writes the configuration of a client, so that it asks this gateway, and takes that back. */
export const setup: Command = {
  name: 'setup',
  summary: 'Has Claude Code, Codex or another client ask this gateway, and undoes it.',
  usage: `kiro-gateway setup ${CLIENT_WORDS} [--url URL] [--key KEY] [--model MODEL] [--print] [--yes]
kiro-gateway setup ${CLIENT_WORDS} --undo [--print] [--yes]`,
  options: {
    url: { type: 'string' },
    key: { type: 'string' },
    model: { type: 'string' },
    print: { type: 'boolean' },
    undo: { type: 'boolean' },
    yes: { type: 'boolean', short: 'y' }
  },
  help: `Shows what it would change in the client's own configuration, and asks. Everything else in the file stays as it is.
A file that a key comes into is closed to other users.

  --url URL          Address of the gateway; otherwise as SERVER_HOST and SERVER_PORT say.
  --key KEY          Key that the client sends, "-" to read it from standard input; otherwise the first of PROXY_API_KEY.
  --model MODEL      Model to begin with, one of those that GET /v1/models lists.
  --undo             Restores the files as they were, to the byte. What was changed in them since stays.
  --print            Only prints what would change.
  --yes              Does not ask.`,
  // The parsers of three languages are loaded for it alone.
  run: async (call) => (await import('./run-setup.ts')).runSetup(call)
}
