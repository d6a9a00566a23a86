import { CommandExits } from '../../src/cli/command.ts'
import { commandNames, loadCommand } from '../../src/cli/program/commands.ts'
import { GatewayExits } from '../../src/shared/exit-codes.ts'
import { toTable } from './text.ts'

const commands = await Promise.all(commandNames().map(loadCommand))

/** The table of docs/exit-codes.md: the gateway, all commands, and commands for which a code means more. */
export function exitCodesTable(): string {
  const own = commands.flatMap((command) =>
    (command?.exitCodes ?? []).map(({ action, code, meaning }) => {
      const called = action === undefined ? command?.name : `${command?.name} ${action}`
      return { who: `\`${called}\``, code, meaning }
    })
  )
  const rows = [
    ...GatewayExits.map((exit) => ({ who: 'the gateway', ...exit })),
    ...CommandExits.map((exit) => ({ who: 'every command', ...exit })),
    ...own
  ]
  const cells = rows.map(({ who, code, meaning }, at) => [
    who === rows[at - 1]?.who ? '' : who,
    String(code),
    meaning
  ])
  return toTable(['who ends', 'code', 'meaning'], cells)
}
