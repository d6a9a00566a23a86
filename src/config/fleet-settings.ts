import { Type } from '../shared/schema-type.ts'
import { choice, count, DAY, seconds, setting, text } from './setting.ts'

const NAME = {
  restart: true,
  pattern: '^[A-Za-z0-9._-]{1,63}$',
  allowed: 'up to 63 letters, digits, dots, dashes and underscores'
} as const

/** Several gateways with one budget. Nothing of it counts, or is loaded, without FLEET_URL. */
export const FleetSettings = {
  fleet: Type.Object({
    url: text(
      'FLEET_URL',
      {
        restart: true,
        default: null,
        kind: 'address',
        isSecret: true,
        pattern: '^(redis|rediss|valkey|valkeys)://[^\\s/?#]+(/[0-9]{0,4})?$',
        allowed: 'a URL with redis://, rediss://, valkey:// or valkeys://'
      },
      'Valkey, or Redis from 7 on, by which several gateways share HTTP_MAX_CONNECTIONS; left out, this gateway is alone.'
    ),
    name: text(
      'FLEET_NAME',
      { ...NAME, default: 'kiro' },
      'Name of the fleet: gateways with the same one share.'
    ),
    member: text(
      'FLEET_MEMBER',
      { ...NAME, default: null },
      'Name of this gateway in the fleet, no other may have it; left out, the name of the host.'
    ),
    replicas: count(
      'FLEET_REPLICAS',
      { restart: true, min: 1, max: 64, default: null },
      'How many gateways the fleet has. It begins when so many have come; never fewer than there are.'
    ),
    leaseMs: seconds(
      'FLEET_LEASE',
      { nullWord: 'none', restart: true, min: 10, max: DAY, default: 1800 },
      'Longest time without the engine: closing begins after five sixths of it, then every connection is cut, and a tenth later others take what was here. With none that never happens, and what a lost gateway had comes back with its successor in the same STATE_DIR only.'
    ),
    secrets: setting<string[]>(
      {
        env: 'FLEET_SECRET',
        kind: 'list',
        default: [],
        isSecret: true,
        restart: true,
        allowed: 'secrets of at least 32 characters, separated by commas',
        description:
          'What all gateways of the fleet have in common and nobody else knows: "openssl rand -hex 32" makes one. Of several, separated by commas, the first is used and all are accepted.'
      },
      { type: 'array', items: { type: 'string', pattern: '^[\\x21-\\x7e]{32,512}$' } }
    ),
    secretFile: text(
      'FLEET_SECRET_FILE',
      { restart: true, default: null, kind: 'path' },
      'File that holds FLEET_SECRET instead.'
    ),
    engineReplicas: count(
      'FLEET_ENGINE_REPLICAS',
      { restart: true, min: 0, max: 16, default: 0 },
      'Replicas of the engine that must have a sign of life before it counts.'
    ),
    identity: choice(
      'FLEET_IDENTITY',
      { restart: true, default: 'folder', enum: ['folder', 'statefulset'] },
      'What proves that an earlier process of this gateway has ended: the lock in STATE_DIR, or the name of a pod in a StatefulSet, of which Kubernetes runs one at most.'
    ),
    podUid: text(
      'FLEET_POD_UID',
      { ...NAME, default: null },
      'UID of the pod, where FLEET_IDENTITY is statefulset.'
    )
  })
}
