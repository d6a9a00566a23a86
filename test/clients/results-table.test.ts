import t from 'tap'
import { resultsTable } from './results-table.ts'

t.test('a table says what was tried, what failed, and what a client can not do', async (t) => {
  const ok = { problem: null, seconds: 1.2 }
  const table = resultsTable([
    {
      client: 'Some Client',
      version: '1.2.3',
      api: 'Messages',
      findings: [
        { trial: 'prompt', ...ok },
        { trial: 'tool loop', problem: 'the file is empty', seconds: 3 },
        { trial: 'wrong key', ...ok },
        { trial: 'thinking', ...ok },
        { trial: 'quota', ...ok, note: '6 requests' },
        { trial: 'image', ...ok },
        { trial: 'compaction', problem: 'it ended', seconds: 1 }
      ]
    }
  ])
  const usual = 'ok | **failed** | – | ok | ok | – | ok, 6 requests'
  const row = `Some Client | 1.2.3 | Messages | ${usual} | image, compaction **failed** | 10`
  t.equal(table.split('\n')[2], `| ${row} |`)
  t.equal(table.split('\n').length, 4)
})
