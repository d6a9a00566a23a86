import type { Command } from '../../src/cli/command.ts'
import { commandNames, loadCommand } from '../../src/cli/program/commands.ts'
import { helpOf, overview } from '../../src/cli/program/help.ts'
import { toTable } from './text.ts'

const commands = (await Promise.all(commandNames().map(loadCommand))).filter(
  (command): command is Command => command !== null
)
const help = await overview()

/** The text of docs/commands.md behind its first lines: what each `--help` says. */
export function commandsReference(): string {
  const rows = commands.map(({ name, summary }) => [`[\`${name}\`](#${name})`, summary])
  return [
    toTable(['command', 'what it does'], rows),
    '## Without a command\n',
    block(help),
    ...commands.map((command) => `## ${command.name}\n\n${block(helpOf(command))}`)
  ].join('\n')
}

/** The version is that of the program which is asked. */
function block(text: string): string {
  return `\`\`\`text\n${text.replace(/^kiro-gateway \d\S*:/, 'kiro-gateway:')}\n\`\`\`\n`
}
