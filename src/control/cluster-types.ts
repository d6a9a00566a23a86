import type { Config } from '../config/settings.ts'
import type { CredentialNews, ToWorker } from '../ipc/messages.ts'
import type { Catalogue } from '../kiro/catalogue.ts'
import type { CredentialSnapshot } from '../kiro/credential-snapshot.ts'

/** What the primary sends, with the types that the messages leave open. */
export type Outgoing = ToWorker<Config, CredentialSnapshot, Catalogue>
export type News = CredentialNews<CredentialSnapshot>
