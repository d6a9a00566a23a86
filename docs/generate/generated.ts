import { commandsReference } from './commands.ts'
import { errorTables } from './errors.ts'
import { exitCodesTable } from './exit-codes.ts'
import { llmsText } from './llms.ts'
import { metricsPage } from './metrics.ts'
import { describeApi } from './openapi/document.ts'
import { describeOnPage } from './openapi/page/page.ts'
import { envExample, reloadList, settingsTable } from './settings.ts'
import { between, toLines } from './text.ts'

/** Every generated file, and how its text is made of the one before. */
export const Generated: Readonly<Record<string, (before: string) => string>> = {
  '.env.example': envExample,
  'docs/settings.md': (page) => between(page, 'settings', settingsTable()),
  'docs/operations.md': (page) => between(page, 'restart', reloadList()),
  'docs/errors.md': (page) =>
    Object.entries(errorTables()).reduce((text, [name, table]) => between(text, name, table), page),
  'docs/metrics.md': metricsPage,
  'docs/commands.md': (page) => between(page, 'commands', commandsReference()),
  'docs/exit-codes.md': (page) => between(page, 'exit codes', exitCodesTable()),
  'llms.txt': () => llmsText(),
  'docs/openapi.json': () => toLines(describeApi()),
  'docs/openapi.html': () => describeOnPage()
}
