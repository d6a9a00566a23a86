import { Type } from '../shared/schema-type.ts'
import { choice, text } from './setting.ts'

/** Settings for Claude Code, where people are signed in to the gateway. */
export const ClientSettings = {
  clients: Type.Object({
    managedSettingsFile: text(
      'MANAGED_SETTINGS_FILE',
      { kind: 'path', default: null },
      'File with settings of Claude Code for everyone who is signed in to the gateway: a JSON object like its managed-settings.json, of at most 256 KiB. By default there are none.'
    ),
    telemetry: choice(
      'CLIENT_TELEMETRY',
      { default: 'drop', enum: ['drop', 'forward'] },
      'What becomes of the telemetry that Claude Code sends to a gateway: drop, or forward to OTEL_EXPORTER_OTLP_ENDPOINT with OTEL_EXPORTER_OTLP_HEADERS.'
    )
  })
} as const
