import type { UsageRow } from '../../src/ipc/usage-row.ts'

/** One request that went well. */
export function usageRow(members: Partial<UsageRow> = {}): UsageRow {
  return {
    at: Date.parse('2026-09-10T12:00:00Z'),
    key: 'k_1',
    client: 'claude-code',
    dialect: 'anthropic-messages',
    model: 'claude-sonnet-4.6',
    status: 200,
    code: '',
    inputTokens: 1_000,
    outputTokens: 100,
    cachedTokens: 10,
    credits: 1_250_000,
    totalMs: 1_235,
    firstMs: 321,
    repairs: 1,
    ...members
  }
}
