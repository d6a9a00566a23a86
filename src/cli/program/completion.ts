import { Clients } from '../setup/clients.ts'
import { SETTINGS_TOPIC } from './help.ts'
import { type Command, EXIT_OK, UsageError } from '../command.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

export const completion: Command = {
  name: 'completion',
  summary: 'Prints a completion script for bash, zsh or fish.',
  usage: 'kiro-gateway completion bash|zsh|fish',
  options: {},
  help: `Prints the script; the shell reads it when it starts. It completes "kiro-gateway", which is there after
npm install --global kiro-gateway.

  bash   Add to ~/.bashrc:  source <(kiro-gateway completion bash)
  zsh    Add to ~/.zshrc:   source <(kiro-gateway completion zsh)
  fish   Run:  kiro-gateway completion fish > ~/.config/fish/completions/kiro-gateway.fish`,
  async run({ positionals, terminal }) {
    const [word, ...more] = positionals
    const shell = SHELLS.find((one) => one === word)
    if (shell === undefined || more.length > 0)
      throw new UsageError(`expected one shell: ${SHELLS.join(', ')}`)
    const { commandNames, loadCommand } = await import('./commands.ts')
    const commands = await Promise.all(commandNames().map(loadCommand))
    const words = commands.flatMap((command) => (command === null ? [] : toWords(command)))
    terminal.write(SCRIPTS[shell](words).trimEnd())
    return EXIT_OK
  }
}

/** Words that may stand behind a command. */
export interface CommandWords {
  readonly name: string
  readonly summary: string
  readonly words: readonly string[]
}

export function toWords(command: Command): CommandWords {
  const options = [...Object.keys(command.options), 'json', 'help'].map((name) => `--${name}`)
  const { name, summary } = command
  return { name, summary, words: [...actionsOf(command), ...options] }
}

/** Returns the lower-case words behind the command in its usage: `add`, `bash|zsh|fish`. */
function actionsOf({ name, usage }: Command): readonly string[] {
  if (name === 'setup') return Object.keys(Clients)
  const found = usage.split('\n').flatMap((line) => {
    const [word = ''] = line.slice(`kiro-gateway ${name} `.length).split(' ')
    return /^[a-z]+(?:\|[a-z]+)*$/.test(word) ? word.split('|') : []
  })
  return [...new Set(found)]
}

const GLOBAL_OPTIONS = ['--host', '--port', '--workers', '--help', '--version']

const SCRIPTS: Readonly<Record<Shell, (commands: readonly CommandWords[]) => string>> = {
  bash: (commands) => `_kiro_gateway() {
  local words='' current="\${COMP_WORDS[COMP_CWORD]}"
  if [ "$COMP_CWORD" -le 1 ]; then
    words='${firstWords(commands)}'
  else
    case "\${COMP_WORDS[1]}" in
      help|--help) words='${topics(commands)}' ;;
${commands.map(({ name, words }) => `      ${name}) words='${words.join(' ')}' ;;`).join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _kiro_gateway kiro-gateway
`,
  zsh: (commands) => `#compdef kiro-gateway
_kiro_gateway() {
  if (( CURRENT <= 2 )); then
    local -a commands=(
${commands.map(({ name, summary }) => `      ${quoted(`${name}:${summary}`)}`).join('\n')}
    )
    _describe command commands
    compadd -- ${GLOBAL_OPTIONS.join(' ')}
  else
    case $words[2] in
      help|--help) compadd -- ${topics(commands)} ;;
${commands.map(({ name, words }) => `      ${name}) compadd -- ${words.join(' ')} ;;`).join('\n')}
    esac
    _files
  fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _kiro_gateway kiro-gateway
`,
  fish: (commands) =>
    [
      ...commands.map(
        ({ name, summary }) =>
          `complete -c kiro-gateway -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`
      ),
      ...GLOBAL_OPTIONS.map(
        (option) => `complete -c kiro-gateway -n __fish_use_subcommand -l ${option.slice(2)}`
      ),
      ...commands.map(
        ({ name, words }) =>
          `complete -c kiro-gateway -n '__fish_seen_subcommand_from ${name}' -a '${words.join(' ')}'`
      )
    ].join('\n')
}

function firstWords(commands: readonly CommandWords[]): string {
  return [...commands.map(({ name }) => name), ...GLOBAL_OPTIONS].join(' ')
}

/** Words behind `--help`. */
function topics(commands: readonly CommandWords[]): string {
  return [...commands.map(({ name }) => name), SETTINGS_TOPIC].join(' ')
}

/** For a shell; summaries are ours and may hold an apostrophe. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
