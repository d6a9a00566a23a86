import { homedir } from 'node:os'
import { entryOf } from '../../shared/program-name.ts'
import { type Command, type CommandCall, EXIT_FAILED, UsageError } from '../command.ts'
import type { Programs } from './programs.ts'
import { install, reloadService, restart, start, stop, uninstall } from './install.ts'
import { showLogs } from './logs.ts'
import { runGateway } from './run.ts'
import { initSystem } from './service-place.ts'
import type { InitSystem } from './init-system.ts'
import { showStatus } from './status.ts'

type Action = (call: CommandCall, manager: InitSystem, programs: Programs) => Promise<number>

const Actions: Readonly<Record<string, Action>> = {
  install,
  start,
  stop,
  restart,
  reload: reloadService,
  status: showStatus,
  logs: showLogs,
  uninstall
}

export const service: Command = {
  name: 'service',
  summary: 'Keeps the gateway running: systemd or launchd.',
  usage: `kiro-gateway service install [--system] [--no-linger] [--print] [--yes]
kiro-gateway service start|stop|restart|reload|status [--system]
kiro-gateway service logs [--follow] [--since 10m] [--system]
kiro-gateway service uninstall [--system] [--print] [--yes]`,
  options: {
    system: { type: 'boolean' },
    'no-linger': { type: 'boolean' },
    print: { type: 'boolean' },
    yes: { type: 'boolean' },
    follow: { type: 'boolean', short: 'f' },
    since: { type: 'string' }
  },
  help: `Installs the gateway as a service that starts at boot and is started again after a crash, and looks after it.
Run "install" in the folder that has the .env file: the service uses that file and that folder. Secrets stay in .env; the
service's own file has none. A second "install" changes what has changed. The port, the settings and the sign-in are checked first.

A user service runs as you. It starts at boot because lingering is enabled for you (loginctl enable-linger), so that your
services run without a session. With --no-linger it runs only while you are signed in to this machine.
A system service (--system, or as root) runs as the user kiro-gateway, with settings in /etc/kiro-gateway/.env.

  status     State, process, restarts, address, and what the gateway says of itself.
  logs       The last 100 lines; rows for people on a terminal, else JSON.
  reload     Reads .env again without cutting a stream. docs/operations.md has how to replace the workers one by one.
  restart    After an update. Streams end first.
  uninstall  Leaves settings and state, and names them.

A crash is followed by another start, at most ten times in five minutes. Exit codes 2 and 78 (settings or sign-in) are not.

  --system           For this machine instead of for you: needs root.
  --no-linger        Leaves lingering as it is.
  --print            Prints what would be done and written, and does nothing.
  --yes              Does not ask.
  --follow, -f       Goes on with new lines until Ctrl-C.
  --since TIME       Lines of the last 10m, 2h or 3d, or since a time that journalctl knows, such as today.`,
  exitCodes: [
    {
      action: 'status',
      code: EXIT_FAILED,
      meaning: 'the service does not run, or is not installed'
    },
    ...['install', 'start', 'restart'].map((action) => ({
      action,
      code: EXIT_FAILED,
      meaning: 'it was started and has failed; its last lines are shown'
    }))
  ],
  run(call) {
    const [word = '', ...more] = call.positionals
    if (word === 'run') return runGateway(entryOf(process.argv[1] ?? ''), homedir())
    const action = Object.hasOwn(Actions, word) ? Actions[word] : undefined
    if (action === undefined || more.length > 0)
      throw new UsageError(`expected one action: ${Object.keys(Actions).join(', ')}`)
    const { manager, programs } = initSystem(call)
    return action(call, manager, programs)
  }
}
