import { appendFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

/** Loaded into each process of a gateway (`--import`): writes the URL of every module that is loaded to a file of its process. */
const folder = new URL(import.meta.url).searchParams.get('folder')

registerHooks({
  load(url, context, nextLoad) {
    if (folder !== null) appendFileSync(`${folder}/${process.pid}`, `${url}\n`)
    return nextLoad(url, context)
  }
})
