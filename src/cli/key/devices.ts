import { readUserCode, showUserCode } from '../../devices/user-code.ts'
import { toKeyName } from '../../keys/key-text.ts'
import { asJsonObject, type JsonObject, objectsIn, textMember } from '../../shared/json.ts'
import { type CommandCall, EXIT_OK, textOption, UsageError } from '../command.ts'
import { toColumns } from '../terminal.ts'
import { givenLimits } from './named-keys.ts'
import { askAboutDevices, toApiLimits } from './running-gateway.ts'

/** Devices that wait for an approval to sign in. */
export async function listWaiting(call: CommandCall): Promise<number> {
  const { terminal, isJson } = call
  const { pending } = await askAboutDevices(call, 'devices')
  const waiting = objectsIn(pending)
  if (isJson) terminal.write(JSON.stringify({ waiting }))
  else if (waiting.length === 0) terminal.write('No device waits for an approval.')
  else for (const line of toColumns([HEADINGS, ...waiting.map(rowOf)])) terminal.write(line)
  return EXIT_OK
}

const HEADINGS = ['CODE', 'PROGRAM', 'MACHINE', 'ADDRESS', 'ASKED']

function rowOf(device: JsonObject): readonly string[] {
  const texts = ['code', 'client', 'host', 'address'].map((name) => textMember(device, name) ?? '-')
  return [...texts, ageOf(textMember(device, 'asked_at'))]
}

function ageOf(at: string | null): string {
  const minutes = Math.floor((Date.now() - Date.parse(at ?? '')) / 60_000)
  return minutes >= 1 ? `${minutes} min ago` : 'now'
}

export async function approveDevice(call: CommandCall, text: string): Promise<number> {
  const code = codeOf(text)
  const [key, name] = [textOption(call, 'key'), textOption(call, 'new')]
  if (key !== null && name !== null) throw new UsageError('give --key or --new, not both')
  const limits = toApiLimits(givenLimits(call, Date.now()))
  if (name === null && Object.keys(limits).length > 0)
    throw new UsageError('limits are for --new; "key set" changes those of a key')
  const choice = name === null ? { ...(key !== null && { key }) } : newKey(name, limits)
  const answer = await askAboutDevices(call, 'devices/approve', { code, ...choice })
  if (call.isJson) call.terminal.write(JSON.stringify(answer))
  else {
    const used = textMember(asJsonObject(answer['key']) ?? {}, 'name') ?? name ?? key
    const by = used === null ? '' : ` It uses the key ${used}.`
    call.terminal.write(`${code} is approved: the device is signed in within seconds.${by}`)
  }
  return EXIT_OK
}

function newKey(name: string, limits: JsonObject): JsonObject {
  return { new: { name: toKeyName(name), ...limits } }
}

export async function denyDevice(call: CommandCall, text: string): Promise<number> {
  const code = codeOf(text)
  const answer = await askAboutDevices(call, 'devices/deny', { code })
  call.terminal.write(call.isJson ? JSON.stringify(answer) : `${code} is denied.`)
  return EXIT_OK
}

/** @throws {UsageError} */
function codeOf(text: string): string {
  const code = readUserCode(text)
  if (code === null) throw new UsageError('a code has 8 letters, such as BCDF-GHJK')
  return showUserCode(code)
}
