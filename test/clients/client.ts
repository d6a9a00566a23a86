import type { Trial } from './trial.ts'

/** A client API of the gateway, as the table of results calls it. */
export type Api = 'Chat Completions' | 'Responses' | 'Messages'

/** A client at one pinned version. */
export interface Client {
  /** As its users know it. */
  readonly name: string
  /** Name of its folder, and what `--only` is compared with. */
  readonly id: string
  /** What is installed, by package name; the first is the client itself. */
  readonly packages: Readonly<Record<string, string>>
  readonly ways: readonly Way[]
}

/** One way in which a client can be set up to speak to the gateway. */
export interface Way {
  readonly api: Api
  /** What is special about it, for the table. */
  readonly note?: string
  /** The model that it asks for, if it is not the usual one. */
  readonly model?: string
  /** Files that its user would have to write, by their path in the home folder. */
  readonly files?: (place: Place) => Readonly<Record<string, string>>
  /** Commands that its user would have to run once. */
  readonly setUp?: (place: Place) => readonly Command[]
  /** Asks something in a new session. */
  readonly ask: (prompt: string, place: Place) => Command
  /** Asks something in the session before. */
  readonly resume?: (prompt: string, place: Place) => Command
  /** Asks with reasoning switched on; where it is left out, the client asks for it by itself. */
  readonly think?: (prompt: string, place: Place) => Command
  /** A model that reasons by itself, where the usual one changes what the client sends. */
  readonly thinkingModel?: string
  /** It sends no reasoning back. */
  readonly dropsReasoning?: true
  /** It moves words of its own to the end of each request, so that reasoning does not fit what now stands before it. */
  readonly movesWords?: true
  /** How it is used by a person; programs of SDKs have none. */
  readonly chat?: Chat
  /** Asks three prompts in one session, the second of which it gives up when its answer begins, and tells both other answers. */
  readonly giveUp?: (prompts: readonly string[], place: Place) => Command
  readonly tools: FileTools
  /** It says that it takes one call in a turn. */
  readonly takesSingleCalls?: true
  /** What else this client can do. */
  readonly more?: readonly Trial[]
}

/** How a person speaks with the client in a terminal. */
export interface Chat {
  readonly command: (place: Place) => Command
  /** Files that its user has when the client has been started before, by their path in the home folder. */
  readonly files: (place: Place) => Readonly<Record<string, string>>
  /** What is on the screen when it takes a prompt. */
  readonly ready: RegExp
  /** Keys that end the answer under way, and what is on the screen before each. */
  readonly interrupt: readonly { readonly after?: RegExp; readonly key: string }[]
}

/** The client's own tools, as the simulator is told to call them: `Write with {…}`. */
export interface FileTools {
  readonly write: (path: string, text: string) => string
  readonly read: (path: string) => string
}

export interface ShellTools extends FileTools {
  readonly run: (command: string) => string
}

/** Where a client finds the gateway, and what it may touch. */
export interface Place {
  /** Base URL of the gateway, without `/v1`. */
  readonly url: string
  readonly key: string
  readonly model: string
  /** Its home folder, empty at the start. */
  readonly home: string
  /** The project that it works on. */
  readonly project: string
  /** Where its packages are installed. */
  readonly installed: string
}

export interface Command {
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** What it reads from its standard input, which is empty otherwise. */
  readonly stdin?: string
  /** Its user presses Ctrl-C when this file exists. */
  readonly interruptWhen?: string
}

/** Makes a command that asks, with options of its client. */
type Asking = (argv: readonly string[], prompt: string, place: Place) => Command

/** How a command asks: with no options in a new session, and with `goOn` in the session before. */
export function asking(
  command: Asking,
  goOn: readonly string[]
): Required<Pick<Way, 'ask' | 'resume'>> {
  return {
    ask: (prompt, place) => command([], prompt, place),
    resume: (prompt, place) => command(goOn, prompt, place)
  }
}

/** Path of a program that came with a client. */
export function programOf(place: Place, name: string): string {
  return `${place.installed}/node_modules/.bin/${name}`
}

/** Path of a client's own binary, which comes in a package for each platform. */
export function binaryOf(place: Place, packagePrefix: string, path: string): string {
  return `${place.installed}/node_modules/${packagePrefix}-${process.platform}-${process.arch}/${path}`
}

/** Tools that are a shell, told by `call` what to run. */
export function shellTools(call: (command: string) => string): ShellTools {
  return {
    run: call,
    write: (path, text) => call(`printf '%s' ${quoted(text)} > ${path}`),
    read: (path) => call(`cat ${path}`)
  }
}

/** A shell that clients call `bash`, as OpenCode does. */
export const BASH_TOOLS = shellTools(
  (command) => `bash with ${JSON.stringify({ command, description: 'runs it' })}`
)

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
