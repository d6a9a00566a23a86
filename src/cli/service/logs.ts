import { type CommandCall, EXIT_OK, textOption } from '../command.ts'
import type { InitSystem } from './init-system.ts'
import { ReaderWatch } from './reader-watch.ts'
import { rowsFor } from './shown-log.ts'
import { requireInstalled } from './status.ts'

/** Prints rows for people on a terminal, and the log as it is for programs. Ends when its reader leaves. */
export async function showLogs(call: CommandCall, manager: InitSystem): Promise<number> {
  requireInstalled(manager)
  const { terminal, isJson, values } = call
  const query = { follows: values['follow'] === true, since: textOption(call, 'since') }
  using watch = new ReaderWatch(process.stdout)
  const signal = AbortSignal.any([call.signal, watch.signal])
  const rows = rowsFor({ write: (text) => terminal.write(text.trimEnd()) })
  const isCopied = !terminal.isRedrawn
  const isPlain = isJson || isCopied
  const onLine = (line: string): void => {
    if (isPlain) terminal.write(line)
    else rows.write(`${line}\n`)
  }
  try {
    await manager.logs(query, { onLine, isCopied, signal })
  } catch (cause) {
    if (!watch.signal.aborted) throw cause
  }
  rows.flush()
  return EXIT_OK
}
