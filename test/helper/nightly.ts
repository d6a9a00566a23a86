/** Whether `npm run nightly` runs: it takes the long form of tests that are in `npm test` in a short one. */
export const isNightly = process.env['NIGHTLY'] === '1'
