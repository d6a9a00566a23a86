import { Type } from '../shared/schema-type.ts'
import { choice, count, DAY, list, seconds, text } from './setting.ts'

const NAME = {
  restart: true,
  pattern: '^[A-Za-z0-9._-]{1,63}$',
  allowed: 'up to 63 letters, digits, dots, dashes and underscores'
} as const

/** Several gateways with one budget. Unused without FLEET_URL. */
export const FleetSettings = {
  fleet: Type.Object({
    url: text(
      'FLEET_URL',
      {
        restart: true,
        kind: 'address',
        isSecret: true,
        pattern: '^(redis|rediss|valkey|valkeys)://[^\\s/?#]+(/[0-9]{0,4})?$',
        allowed: 'a URL with redis://, rediss://, valkey:// or valkeys://'
      },
      'Valkey, or Redis from version 7 on, through which several gateways share HTTP_MAX_CONNECTIONS. By default this gateway is alone.'
    ),
    name: text(
      'FLEET_NAME',
      { ...NAME, default: 'kiro' },
      'Name of the fleet. Gateways with the same name share.'
    ),
    member: text(
      'FLEET_MEMBER',
      NAME,
      'Unique name of this gateway in the fleet. By default the host name.'
    ),
    replicas: count(
      'FLEET_REPLICAS',
      { restart: true, min: 1, max: 64, default: null },
      'Number of gateways in the fleet, never fewer than are running. The fleet starts when all have joined.'
    ),
    leaseMs: seconds(
      'FLEET_LEASE',
      { nullWord: 'none', restart: true, min: 10, max: DAY, default: 1800 },
      'Longest time without contact to Valkey. After five sixths of it the gateway starts to close, at its end every connection is cut, and a tenth later other gateways may use them. With none this never happens, and only a successor with the same STATE_DIR gets back what a lost gateway held.'
    ),
    secrets: list(
      'FLEET_SECRET',
      {
        items: { pattern: '^[\\x21-\\x7e]{32,512}$' },
        isSecret: true,
        restart: true,
        allowed: 'secrets of at least 32 characters, separated by commas'
      },
      'Secret that all gateways of the fleet share. "openssl rand -hex 32" generates one. Of several, separated by commas, the first is used and all are accepted.'
    ),
    secretFile: text(
      'FLEET_SECRET_FILE',
      { restart: true, kind: 'path' },
      'File that contains FLEET_SECRET.'
    ),
    valkeyReplicas: count(
      'FLEET_ENGINE_REPLICAS',
      { restart: true, min: 0, max: 16, default: 0 },
      'Replicas of Valkey that must confirm a sign of life before it counts.'
    ),
    identity: choice(
      'FLEET_IDENTITY',
      { restart: true, default: 'folder', enum: ['folder', 'statefulset'] },
      'Proof that an earlier process of this gateway has ended: the lock in STATE_DIR, or the name of a pod in a StatefulSet, which Kubernetes runs at most once.'
    ),
    podUid: text('FLEET_POD_UID', NAME, 'UID of the pod if FLEET_IDENTITY is statefulset.')
  })
}
