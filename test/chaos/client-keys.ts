/** Keys of the gateway's clients. The first one is greedy: most clients use it. */
export const KEYS = ['greedy-key', 'modest-key', 'shy-key'] as const
