import { type CommandCall, EXIT_OK, textOption } from '../command.ts'
import type { InitSystem } from './init-system.ts'
import { rowsFor } from './shown-log.ts'
import { requireInstalled } from './status.ts'

/** Prints rows for people on a terminal, and the log as it is for programs. Ends when its reader leaves. */
export async function showLogs(call: CommandCall, manager: InitSystem): Promise<number> {
  requireInstalled(manager)
  const { terminal, isJson, values } = call
  const query = { follows: values['follow'] === true, since: textOption(call, 'since') }
  // Node cannot ask a pipe whether its reader, such as `head`, has left: the next write fails then.
  const left = new AbortController()
  const onLeft = (): void => left.abort()
  process.stdout.on('error', onLeft)
  const signal = AbortSignal.any([call.signal, left.signal])
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
    if (!left.signal.aborted) throw cause
  } finally {
    process.stdout.off('error', onLeft)
  }
  rows.flush()
  return EXIT_OK
}
