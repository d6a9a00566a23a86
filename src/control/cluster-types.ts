import type { Config } from '../config/settings.ts'
import type { CredentialNews, ToWorker } from '../ipc/messages.ts'
import type { AccountUsage } from '../kiro/account-usage.ts'
import type { Catalogue } from '../kiro/catalogue.ts'
import type { CredentialSnapshot } from '../kiro/credential-snapshot.ts'

/** What the primary sends, with the types that the messages leave open. */
export type Outgoing = ToWorker<Config, CredentialSnapshot, Catalogue, AccountUsage>
export type News = CredentialNews<CredentialSnapshot>
