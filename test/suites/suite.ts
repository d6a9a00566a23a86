/** A test suite that others wrote, at pinned versions. */
export interface Suite {
  /** Name of its folder, and what `--only` is compared with. */
  readonly id: string
  /** What the table of results calls it. */
  readonly name: string
  /** Packages from npm, by name and version; the first is the suite or what it tests. */
  readonly packages: Readonly<Record<string, string>>
  /** Where the suite is, if npm does not have it. */
  readonly source?: Source
  /** The package for Python that it tests, which has to be installed beforehand. */
  readonly pythonPackage?: string
  readonly run: (place: SuitePlace) => Promise<readonly Case[]>
  readonly exclusions: readonly Exclusion[]
}

/** Files of a public repository at one commit. */
export interface Source {
  /** Owner and name at GitHub. */
  readonly repository: string
  readonly commit: string
  /** Folders and files that are needed. */
  readonly paths: readonly string[]
}

/** Where a suite finds the gateway, and itself. */
export interface SuitePlace {
  /** Base URL of the gateway, without `/v1`. */
  readonly url: string
  readonly key: string
  /** Model that reasons only if asked to. */
  readonly model: string
  /** Folder with its packages; its source is in `source`. */
  readonly installed: string
  /** Interpreter that has the suite's package for Python. */
  readonly python: string
  /** Whether public addresses can be reached from here. */
  readonly isOnline: boolean
  readonly signal: AbortSignal
}

/** One test of a suite. */
export interface Case {
  readonly name: string
  /** What went wrong, or `null`. */
  readonly problem: string | null
  /** The suite chose not to run it. */
  readonly isSkipped?: true
}

/** Tests that cannot pass, and why. */
export interface Exclusion {
  readonly cases: RegExp
  /** A sentence for the page of results. */
  readonly reason: string
  /** The tests pass on some machines, such as those that reach the internet. */
  readonly mayPass?: true
}
