import type { Mutant } from '../helper/mutant.ts'

const file = 'limit-register.ts'

/** What a hasty change might do to the rules of a shared limit. */
export const LIMIT_MUTANTS: readonly Mutant[] = [
  [
    'one gateway too many has a part by right',
    'if (rank >= replicas) return 0',
    'if (rank > replicas) return 0'
  ],
  [
    'what does not divide is given once too often',
    'rank < limit % replicas',
    'rank <= limit % replicas'
  ],
  ['what does not divide is lost', '(rank < limit % replicas ? 1 : 0)', '0'],
  [
    'of two that came at once both are first',
    'no < than || (no === than && one < other)',
    'no < than'
  ],
  ['a seat comes before itself', '(no === than && one < other)', 'no === than'],
  ['what was given stays with the giver', 'part -= given //', 'part -= 0 * given //'],
  ['what was given does not come', 'part += gave[name] ?? 0', 'part += 0 * (gave[name] ?? 0)'],
  ['what was lost is had again', 'let part = -seat.lost', 'let part = 0'],
  [
    'a period that is over counts',
    'return known.period > found.period ? known : found',
    'return known.period > found.period ? found : known'
  ],
  [
    'what is of two periods is joined',
    'if (known.period !== found.period) return',
    'if (known.period > found.period) return'
  ],
  [
    'a seat that Valkey has forgotten is gone',
    '{ ...seat, want: 0 } : joinSeats',
    'found.seats : joinSeats'
  ],
  [
    'a wish that Valkey has forgotten stands',
    'other === undefined ? { ...seat, want: 0 }',
    'other === undefined ? seat'
  ],
  [
    'of two reports of what was given the smaller counts',
    'gave[name] = Math.max(total, gave[name] ?? 0)',
    'gave[name] = Math.min(total, gave[name] ?? total)'
  ],
  [
    'of two reports of what was given the one that was known counts',
    'gave[name] = Math.max(total, gave[name] ?? 0)',
    'gave[name] = total'
  ],
  [
    'of two reports of what was given the one that was found counts',
    'gave[name] = Math.max(total, gave[name] ?? 0)',
    'gave[name] ??= total'
  ],
  [
    'of two reports of what was lost the one that was found counts',
    'lost: Math.max(known.lost, found.lost)',
    'lost: found.lost'
  ],
  [
    'of two reports of what was lost the one that was known counts',
    'lost: Math.max(known.lost, found.lost)',
    'lost: known.lost'
  ],
  [
    'who was first becomes the last',
    'no: Math.min(known.no, found.no)',
    'no: Math.max(known.no, found.no)'
  ],
  ['who was first is as it was found', 'no: Math.min(known.no, found.no)', 'no: found.no'],
  ['a register may have one seat too many', '>= MAX_SEATS\n}', '> MAX_SEATS\n}'],
  ['a register may have one seat too few', '>= MAX_SEATS\n}', '>= MAX_SEATS - 1\n}'],
  [
    'a name that has a seat is turned away from a full register',
    '!Object.hasOwn(seats, name) && ',
    ''
  ],
  ['registers that are joined are longer than may be read', 'seats: firstOf(seats)', 'seats'],
  ['the first of joined registers lose their seats', '? -1 : 1', '? 1 : -1'],
  [
    'more is given than may be read',
    'if (isNew && Object.keys(giver.gave).length >= MAX_SEATS) return register',
    ''
  ],
  [
    'a register of a period that is over knows all',
    'if (found.period !== known.period) return found.period > known.period',
    'if (found.period !== known.period) return true'
  ],
  ['a register that knows less of a gift knows all', '(seat.gave[to] ?? 0) >= total', 'total >= 0'],
  [
    'a register that knows less of a loss knows all',
    'seat === undefined || seat.lost < lost',
    'seat === undefined'
  ],
  [
    'a register that lacks a seat knows all',
    'if (seat === undefined || seat.lost < lost) return false',
    'if (seat === undefined) return true'
  ],
  ['two seats have one number', 'const no = 1 + Math.max(', 'const no = Math.max('],
  [
    'who comes after a process has all that it had',
    'isKnown(seat.inc) ? 0 :',
    'isKnown(seat.inc) || true ? 0 :'
  ],
  ['who comes after a process that is known has nothing', 'isKnown(seat.inc) ? 0 :', ''],
  [
    'a debt of an earlier process is forgiven',
    'Math.max(0, partOf(register, name, size))',
    'partOf(register, name, size)'
  ],
  ['the next process loses what was lost before', 'lost: seat.lost + more', 'lost: more'],
  [
    'a wish of an earlier process stands',
    '{ ...seat, ...self, want: 0, lost',
    '{ ...seat, ...self, lost'
  ],
  ['what is given is wanted still', 'Math.max(0, receiver.want - amount)', 'receiver.want'],
  ['a gift of less than nothing takes', '|| amount <= 0) return register', ') return register'],
  ['a second gift replaces the first', '[to]: (giver.gave[to] ?? 0) + amount', '[to]: amount'],
  ['the heir inherits of those who live', 'from === heir || !isGone(seat)', 'from === heir'],
  ['a debt is no need', 'seat.want + Math.max(0, -part)', 'seat.want'],
  ['all that is wanted is due', 'Math.max(0, Math.min(want, right - part))', 'want'],
  ['of a part by right the odd one is due', 'rightOf(size.replicas - 1, size)', 'rightOf(0, size)'],
  ['who has most is first', 'a.part - b.part', 'b.part - a.part'],
  ['one gives to itself', '.filter(([name]) => name !== but)', ''],
  ['a full register is not read', 'maxProperties: MAX_SEATS', 'maxProperties: MAX_SEATS - 1'],
  [
    'a register with one seat too many is read',
    'maxProperties: MAX_SEATS',
    'maxProperties: MAX_SEATS + 1'
  ],
  ['amounts may be of any size', ', maximum: 2 ** 50', '']
].map(([story = '', from = '', to = '']) => ({ story, file, from, to }))
