import { filesOf } from './rooms.ts'
import { runRoom } from './run-room.ts'
const f = [...filesOf('control')]
await runRoom(-1 < 0 ? f.reverse() : f)
