/** Whether `npm run nightly` runs: it takes the long form of tests that are in `npm test` in a short one. */
export const isNightly = process.env['NIGHTLY'] === '1'

/** Skips a test by day: why, else false. docs/lab/tests.md names what holds its promise then. */
export const skipByDay = isNightly ? false : 'takes long: npm run nightly'
