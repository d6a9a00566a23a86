import type { Command } from '../command.ts'

/** Loaded on demand: the gateway needs none of them. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  login: async () => (await import('../login/login.ts')).login,
  logout: async () => (await import('../login/logout.ts')).logout,
  token: async () => (await import('../token.ts')).token,
  whoami: async () => (await import('../whoami.ts')).whoami,
  setup: async () => (await import('../setup/setup.ts')).setup,
  doctor: async () => (await import('../doctor/doctor.ts')).doctor,
  usage: async () => (await import('../usage.ts')).usage,
  top: async () => (await import('../top/top.ts')).top,
  key: async () => (await import('../key/key.ts')).key,
  fleet: async () => (await import('../fleet.ts')).fleet,
  lint: async () => (await import('../lint/lint.ts')).lint,
  replay: async () => (await import('../replay/replay.ts')).replay,
  service: async () => (await import('../service/service.ts')).service,
  update: async () => (await import('../update.ts')).update,
  completion: async () => (await import('./completion.ts')).completion
}

export function commandNames(): readonly string[] {
  return Object.keys(COMMANDS)
}

export async function loadCommand(name: string): Promise<Command | null> {
  return Object.hasOwn(COMMANDS, name) ? ((await COMMANDS[name]?.()) ?? null) : null
}
