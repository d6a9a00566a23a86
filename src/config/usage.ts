import { version } from '../shared/version.ts'
import { describeAllowed, listSettings, writeSetting } from './setting-text.ts'

/** What `--help` prints: options, and every setting with what is allowed and its default. */
export function usageText(): string {
  const settings = listSettings().map(({ setting }) => setting)
  const options = settings.flatMap((setting) =>
    setting.option === undefined
      ? []
      : `  ${`--${setting.option} <value>`.padEnd(18)} ${setting.description} Wins over ${setting.env}.`
  )
  const rows = settings.map((setting) => {
    const value = writeSetting(setting, setting.default)
    const allowed = `${describeAllowed(setting)}; default ${value === '' ? 'not set' : value}`
    return `  ${setting.env}\n      ${setting.description}\n      ${allowed}`
  })
  return [
    `kiro-gateway ${version}: the models of a Kiro subscription behind OpenAI and Anthropic APIs.`,
    '',
    'Usage: kiro-gateway [options]',
    '       kiro-gateway lint FILE   explains a request: which rules of the upstream it breaks',
    '',
    ...options,
    '  --help             Prints this text.',
    '  --version          Prints the version.',
    '',
    'Settings, from the environment or from .env in the working folder:',
    '',
    ...rows,
    ''
  ].join('\n')
}
