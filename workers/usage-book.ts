import { parentPort } from 'node:worker_threads'
import { serveBook } from '../src/control/book/book-service.ts'

/* The primary's thread for the account book, since SQLite waits for the disk. */

if (parentPort !== null) serveBook(parentPort)
