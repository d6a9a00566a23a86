import { filesOf } from './rooms.ts'
import { runRoom } from './run-room.ts'

await runRoom(filesOf('gateways-keys'))
