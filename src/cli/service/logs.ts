import { prettyLog } from '../../observe/pretty-log.ts'
import { type CommandCall, EXIT_OK, textOption } from '../command.ts'
import type { InitSystem } from './init-system.ts'
import { requireInstalled } from './status.ts'

/** Prints rows for people on a terminal, and the log as it is for programs. */
export async function showLogs(call: CommandCall, manager: InitSystem): Promise<number> {
  requireInstalled(manager)
  const { terminal, isJson, values } = call
  const query = { follows: values['follow'] === true, since: textOption(call, 'since') }
  if (isJson || !terminal.isRedrawn) {
    await manager.logs(query, (line) => terminal.write(line))
    return EXIT_OK
  }
  const rows = { write: (text: string) => terminal.write(text.trimEnd()) }
  const pretty = prettyLog(rows, { isColoured: false, isVerbose: false, terminalColumns: 0 })
  await manager.logs(query, (line) => pretty.write(`${line}\n`))
  pretty.flush()
  return EXIT_OK
}
