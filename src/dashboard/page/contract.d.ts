/* Answers of `/admin/v1` and of the session, as far as the page reads them. Credits are whole credits, times ISO 8601. */

export interface Session {
  readonly isKeyNeeded: boolean
  readonly isSignedIn: boolean
  readonly canSignIn: boolean
  readonly role?: 'operator' | 'person' | null
  readonly csrf?: string | null
  readonly mayChange?: boolean
  readonly whyNot?: { readonly code: string; readonly message: string } | null
  readonly ways?: readonly string[]
  /** Devices can sign in by a code. */
  readonly hasDevices?: boolean
  /** Page that signs out at the provider, too. */
  readonly signOutUrl?: string | null
}

export interface Sums {
  readonly requests: number
  readonly failed: number
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cached_tokens: number
  readonly credits: number
}

export interface Key {
  readonly id: string
  readonly name: string
  readonly state: 'active' | 'expired' | 'revoked'
  readonly version: string
  readonly credits: {
    readonly limit: number
    readonly period: string
    readonly used: number
    readonly reserved: number
    readonly left: number
    readonly resets_at: string | null
    readonly problem: string | null
  } | null
  readonly requests_per_minute: number | null
  readonly max_streams: number | null
  readonly models: readonly string[] | null
  readonly overage: boolean
  readonly created_at: string | null
  readonly expires_at: string | null
  readonly revoked_at: string | null
  readonly old_key_until: string | null
  readonly last_seen: string | null
  readonly today: Sums | null
  readonly last_30_days: Sums | null
}

export interface KeyList {
  readonly keys: readonly Key[]
  readonly unnamed: readonly {
    readonly id: string
    readonly today: Sums | null
    readonly last_30_days: Sums | null
    readonly last_seen: string | null
  }[]
  readonly operator_keys: number
  readonly book_problem: string | null
}

/** A device that waits for a decision. */
export interface WaitingDevice {
  readonly code: string
  readonly client: string
  readonly host: string
  readonly address: string
  readonly asked_at: string
}

/** A device that has signed in. */
export interface Device {
  readonly id: string
  /** Id of its named key, or `anyone`. */
  readonly key: string
  readonly client: string
  readonly host: string
  readonly address: string
  readonly approved_by: string
  readonly since: string
  readonly last_used_at: string
}

export interface DeviceList {
  readonly pending: readonly WaitingDevice[]
  readonly devices: readonly Device[]
}

export interface Issued {
  readonly key: Key
  readonly secret: string
  readonly command: string
  readonly note?: string | null
}

export interface RequestRow {
  readonly n: string
  readonly id: string
  readonly at: string
  readonly times: number
  readonly key: string
  readonly client: string
  readonly dialect: string
  readonly route: string
  readonly model: string
  readonly model_asked: string | null
  readonly stream: boolean
  readonly status: number
  readonly code: string
  readonly fault: 'client' | 'upstream' | 'gateway' | null
  readonly failure: {
    readonly reason: string
    /** Told by the feed alone. */
    readonly detail?: string
    readonly upstream_status: number | null
    readonly upstream_request_id: string | null
  } | null
  readonly first_ms: number | null
  readonly total_ms: number
  readonly phases_ms: Readonly<Record<string, number>> | null
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cached_tokens: number
  readonly credits: number
  readonly metering: 'metered' | 'read on' | 'measured' | null
  readonly repairs: readonly string[] | null
  readonly lost_calls: number
  readonly attempts: number
  readonly worker: number | null
  readonly body_bytes: number | null
}

export interface RequestList {
  readonly requests: readonly RequestRow[]
  readonly next: string | null
  readonly complete: boolean
  readonly searched_to: string
}

export interface RequestAnswer {
  readonly about: { readonly code: string; readonly message: string } | null
  readonly capture: { readonly replay: string } | null
}

export interface UsageRow extends Sums {
  readonly day?: string
  readonly key?: string
  readonly model?: string
  readonly client?: string
  readonly split?: string
}

export interface Usage {
  readonly since: string
  readonly until: string
  readonly rows: readonly UsageRow[]
  readonly total: Sums
  readonly truncated: boolean
}

export interface Me {
  readonly key: Key | null
}

export interface Setting {
  readonly name: string
  readonly value: string | null
  readonly source: 'default' | 'environment' | 'file' | 'argument'
  readonly needs_restart: boolean
  readonly meaning: string
  readonly pending: string | null
}

export interface Settings {
  readonly settings: readonly Setting[]
  readonly file: string | null
}

export interface GatewayFacts {
  readonly update: string
}

export interface AuditEntry {
  readonly at: string
  readonly who: string
  readonly via: string
  readonly from: string
  readonly action: string
  readonly subject: string | null
  readonly before: Readonly<Record<string, unknown>> | null
  readonly after: Readonly<Record<string, unknown>> | null
}

export interface Audit {
  readonly entries: readonly AuditEntry[]
  readonly next: string | null
}

export interface Flow {
  readonly state: 'starting' | 'waiting' | 'saving' | 'done' | 'failed' | 'cancelled' | 'expired'
  readonly url: string | null
  readonly user_code: string | null
  readonly expires_at: string | null
  readonly problem: string | null
  readonly needs_paste: boolean
  readonly restart_needed: boolean
  readonly sentence: string
}

export interface SignInState {
  readonly flow: Flow | null
}
