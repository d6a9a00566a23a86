import { join } from 'node:path'
import { installClient } from '../clients/install-client.ts'

const PACKAGE = '@anthropic-ai/claude-code'

/** The version whose contract `src/` follows. */
export const CLAUDE_VERSION = '2.1.332'

/** The real Claude Code, installed from npm below `root` unless `CLAUDE_PROGRAM` names one. */
export async function claudeProgram(root: string): Promise<string> {
  const given = process.env['CLAUDE_PROGRAM'] ?? ''
  if (given !== '') return given
  const client = {
    id: 'claude-code',
    name: 'Claude Code',
    packages: { [PACKAGE]: CLAUDE_VERSION }
  }
  const folder = await installClient(client, root)
  const native = `${PACKAGE}-${process.platform}-${process.arch}`
  return join(folder, 'node_modules', native, 'claude')
}
