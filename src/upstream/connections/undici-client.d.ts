/** undici has no types for single files; `test/upstream/connections/connection.test.ts` proves that it is this. */
declare module 'undici/lib/dispatcher/client.js' {
  import type { Client } from 'undici'
  const client: typeof Client
  export default client
}
