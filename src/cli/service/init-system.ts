/** Values that a definition is made of. Paths are absolute. */
export interface ServiceFacts {
  /** The running Node, which has to stay where it is. */
  readonly node: string
  /** `start.js`. */
  readonly entry: string
  /** Working folder: `.env` and relative paths of settings are found there. */
  readonly folder: string
  /** File of settings, by ENV_FILE; `null` for `.env` in the working folder. */
  readonly envFile: string | null
  /** Installing has enabled lingering, so uninstalling disables it. False if it was on before. */
  readonly lingers: boolean
}

export interface ServiceState {
  /** `failed`: ended and not started again. */
  readonly name: 'running' | 'starting' | 'stopping' | 'stopped' | 'failed'
  /** `null` if no process runs, or it is not known. */
  readonly pid: number | null
  readonly since: Date | null
  /** By itself, since it was started. `null` if not known. */
  readonly restarts: number | null
  /** Exit code or signal of the last process; `null` if there was none. */
  readonly lastExit: string | null
  /** True if it ended too often in a short time. */
  readonly isCrashLoop: boolean
}

/** One thing that a command does to this machine: said before it is done. */
export interface ServiceStep {
  readonly what: string
  /** Content of a file that is written; `--print` shows it. */
  readonly text?: string
  /** Notes what a person has to do, if only they can. */
  run(note: (line: string) => void): Promise<unknown>
}

export interface LogQuery {
  readonly follows: boolean
  /** As typed: `10m`, `today`; `null`: the last lines. */
  readonly since: string | null
}

/** Takes lines until its signal aborts. */
export interface LineReader {
  readonly onLine: (line: string) => void
  /**
   * Standard output gets the lines as they are, so a program that has them may write there itself instead of calling onLine().
   * Such as journalctl, which ends at once when the reader of a pipe leaves.
   */
  readonly isCopied: boolean
  readonly signal: AbortSignal
}

/** systemd or launchd, as far as this program uses them. Methods reject with GW_CONFIG_INVALID if they are refused. */
export interface InitSystem {
  readonly title: string
  /** Unit or property list. */
  readonly file: string
  readonly isSystem: boolean
  define(facts: ServiceFacts): string
  /** Steps before and after the definition is written; none starts the service. */
  preparing(facts: ServiceFacts): Promise<readonly ServiceStep[]>
  enabling(facts: ServiceFacts): Promise<readonly ServiceStep[]>
  /** Steps that stop it, remove its definition and make the system forget it. */
  removing(facts: ServiceFacts | null): Promise<readonly ServiceStep[]>
  start(): Promise<void>
  restart(): Promise<void>
  stop(): Promise<void>
  /** Has the gateway read its settings again. */
  reload(): Promise<void>
  state(): Promise<ServiceState>
  /** Returns whether services of this user run without a session. */
  isLingering(): Promise<boolean>
  /** Says when it starts: at boot or with a sign-in of its user. */
  whenStarted(): Promise<string>
  /** Newest lines of the last run, oldest first. */
  lastLines(count: number): Promise<readonly string[]>
  /** Resolves at the end of the lines. Resolves or rejects when the signal aborts. */
  logs(query: LogQuery, reader: LineReader): Promise<void>
}
