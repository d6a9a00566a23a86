import t from 'tap'
import { type EndSigns, toEndReason } from '../../../src/dialects/answer/part-reader.ts'

const plain: EndSigns = {
  isStopped: false,
  isLost: false,
  hasToolCall: false,
  isCutOff: false,
  isWindowFull: false,
  stopReason: ''
}

const cases: readonly [name: string, signs: Partial<EndSigns>, reason: string][] = [
  ['no sign is stop', {}, 'stop'],
  ['END_TURN is stop', { stopReason: 'END_TURN' }, 'stop'],
  ['a word nobody knows is stop', { stopReason: 'SHINY_NEW' }, 'stop'],
  ['TOOL_USE without a call is stop', { stopReason: 'TOOL_USE' }, 'stop'],
  ['MAX_TOKENS is length', { stopReason: 'MAX_TOKENS' }, 'length'],
  ['case does not matter', { stopReason: 'max_tokens' }, 'length'],
  ['the window is named', { stopReason: 'MODEL_CONTEXT_WINDOW_EXCEEDED' }, 'context'],
  ['CONTENT_FILTERED is filter', { stopReason: 'CONTENT_FILTERED' }, 'filter'],
  ['PAUSE_TURN is pause', { stopReason: 'PAUSE_TURN' }, 'pause'],
  ['a cut is length', { isCutOff: true }, 'length'],
  ['a full window is context', { isWindowFull: true }, 'context'],
  ['a call is tool', { hasToolCall: true }, 'tool'],
  ['length goes before filter', { isCutOff: true, stopReason: 'CONTENT_FILTERED' }, 'length'],
  ['context goes before length', { isWindowFull: true, isCutOff: true }, 'context'],
  ['tool goes before context', { hasToolCall: true, isWindowFull: true }, 'tool'],
  ['tool goes before length', { hasToolCall: true, stopReason: 'MAX_TOKENS' }, 'tool'],
  ['a stop sequence goes before all', { isStopped: true, hasToolCall: true }, 'stop-sequence']
]

for (const [name, signs, reason] of cases) {
  t.test(name, async (t) => t.equal(toEndReason({ ...plain, ...signs }), reason))
}
