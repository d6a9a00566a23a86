import { DIALECT_NAMES, type DialectName } from '../../../src/dialects/dialect.ts'
import { MessagesApi } from './anthropic-messages/api.ts'
import type { ClientApi } from './client-api.ts'
import { ChatApi } from './openai-chat/api.ts'
import { ResponsesApi } from './openai-responses/api.ts'

/** Every client API, as `Dialects` has them. Another one is a folder beside this file, and a line. */
export const ClientApis: Readonly<Record<DialectName, ClientApi>> = {
  'openai-chat': ChatApi,
  'openai-responses': ResponsesApi,
  'anthropic-messages': MessagesApi
}

/** The same, in the order of `Dialects`. */
export const CLIENT_APIS: readonly ClientApi[] = DIALECT_NAMES.map((name) => ClientApis[name])
