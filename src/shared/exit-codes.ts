/** Meaning of an exit code. */
export interface ExitMeaning {
  readonly code: number
  readonly meaning: string
}

export const EXIT_CRASH = 1
/** Another start would change nothing: `EX_CONFIG` of sysexits. */
export const EXIT_CONFIG = 78

/** Codes of the gateway itself. */
export const GatewayExits: readonly ExitMeaning[] = [
  {
    code: 0,
    meaning:
      'stopped by SIGTERM, Ctrl-C or a closed terminal; running answers ended whole, or `DRAIN_TIMEOUT` passed'
  },
  { code: EXIT_CRASH, meaning: 'a crash, or a second Ctrl-C' },
  {
    code: EXIT_CONFIG,
    meaning:
      'the configuration, the credentials or the address cannot be used: starting again changes nothing until you do'
  }
]
