import t from 'tap'
import { csvText } from '../../src/shared/csv.ts'

t.test('a cell is read as text, whatever it says', async (t) => {
  const cases: readonly (readonly [text: string, cell: string])[] = [
    ['anna', 'anna'],
    ['', ''],
    ['=1+1', "'=1+1"],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1+1', "'\t=1+1"],
    ['\r=1+1', '"\'\r=1+1"'],
    ['=a,"b"', '"\'=a,""b"""'],
    ['a\r\n=1+1', '"a\r\n=1+1"']
  ]
  for (const [text, cell] of cases) t.equal(csvText(text), cell, JSON.stringify(text))
})
