import { CLAUDE_CODE } from './claude-code.ts'
import type { Client } from './client.ts'
import { CLINE } from './cline.ts'
import { CODEX } from './codex.ts'
import { CONTINUE } from './continue.ts'
import { COPILOT } from './copilot.ts'
import { KILO_CODE } from './kilo.ts'
import { OPENCLAW } from './openclaw.ts'
import { OPENCODE } from './opencode.ts'
import { PI } from './pi.ts'
import { QWEN_CODE } from './qwen-code.ts'
import { SDK_CLIENTS } from './sdk-clients.ts'

/** Every client that is tried, in the order of the table. */
export const CLIENTS: readonly Client[] = [
  CLAUDE_CODE,
  CODEX,
  OPENCODE,
  QWEN_CODE,
  PI,
  CLINE,
  CONTINUE,
  COPILOT,
  KILO_CODE,
  OPENCLAW,
  ...SDK_CLIENTS
]
