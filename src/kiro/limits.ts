/** How much the upstream takes of anything, as far as it is known: the gateway keeps to these, the simulator enforces them. */
export const UpstreamLimits = {
  /** Entries of a conversation's history (kiro-protocol §4.7, H9). */
  historyEntries: 10_000,
  /** Characters of one user message (§4.12). */
  messageChars: 600_000,
  /** Characters of one tool result (§4.12). */
  resultChars: 800_000,
  /** Reports of refusals begin above this; nobody has published a limit. */
  tools: 120,
  /** 64 is documented, 63 is what works everywhere (§4.4). */
  toolNameChars: 63,
  /** Characters (§4.5). */
  toolIdChars: 64,
  /** The largest that was seen to pass; longer descriptions move to the system text at 10 000 (§4.4). */
  descriptionChars: 10_240,
  /** Schemas inside schemas. */
  schemaDepth: 100,
  /** Images of one request (§4.6). */
  images: 10,
  /** Bytes of one image, decoded (§4.6). */
  imageBytes: 10 * 1024 * 1024,
  /** UTF-8 bytes of a body that an older host refused (§4.12). */
  payloadBytes: 600_000,
  /** Weight of a body, see `weighJson()`: 1.32 M passed, 1.36 M did not (§4.12). */
  payloadWeight: 1_340_000,
  /** Cache points of one request (§9.7). */
  cachePoints: 4
} as const

const WIDE_CHAR_WEIGHT = 8

/** Weighs JSON text as the upstream does: 1 for an ASCII character, 8 for any other (kiro-protocol §4.12). */
export function weighJson(json: string): number {
  let weight = json.length
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i)
    // Both halves of a wide pair are one character: 1 for the second half was counted too much.
    if (code >= 0xdc00 && code <= 0xdfff) weight--
    else if (code > 0x7f) weight += WIDE_CHAR_WEIGHT - 1
  }
  return weight
}

/** Whether a text weighs more than `limit`; most are too short to be looked at. */
export function isHeavier(json: string, limit: number): boolean {
  return json.length * WIDE_CHAR_WEIGHT > limit && weighJson(json) > limit
}
