import t from 'tap'
import {
  availableCpus,
  chooseConnections,
  chooseWorkers,
  parseCfsQuota,
  parseCpuMax,
  parseMemoryLimit,
  readContainerLimits,
  followOpenFiles,
  readOpenFilesLimit
} from '../../src/config/container.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/settings.ts'

function configOf(env: Record<string, string>): Config {
  const loaded = loadConfig(env, [])
  if (loaded.name !== 'config') throw new Error('no config')
  return loaded.config
}

function limitsOf(files: Readonly<Record<string, string>>) {
  return readContainerLimits((path) => files[path] ?? null)
}

t.test('parseCpuMax() and parseCfsQuota()', async (t) => {
  t.equal(parseCpuMax('200000 100000\n'), 2)
  t.equal(parseCpuMax('50000 100000'), 0.5)
  for (const text of ['max 100000', 'max', '', 'garbage here', '0 0', '200000']) {
    t.equal(parseCpuMax(text), null, text)
  }
  t.equal(parseCfsQuota('150000\n', '100000\n'), 1.5)
  t.equal(parseCfsQuota('-1', '100000'), null)
})

t.test('parseMemoryLimit()', async (t) => {
  t.equal(parseMemoryLimit('536870912\n'), 536_870_912)
  for (const text of ['max\n', '9223372036854771712\n', '', '-1', '0']) {
    t.equal(parseMemoryLimit(text), null, text)
  }
})

t.test('readContainerLimits()', (t) => {
  t.test('reads cgroup v2 in a container', async (t) => {
    const limits = limitsOf({
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/cpu.max': '200000 100000\n',
      '/sys/fs/cgroup/memory.max': '536870912\n'
    })
    t.same(limits, { cpus: 2, memoryBytes: 536_870_912 })
  })

  t.test('takes the tightest limit of a service and what it is in', async (t) => {
    const limits = limitsOf({
      '/proc/self/cgroup': '0::/system.slice/gateway.service\n',
      '/sys/fs/cgroup/system.slice/cpu.max': '100000 100000\n',
      '/sys/fs/cgroup/system.slice/memory.max': 'max\n',
      '/sys/fs/cgroup/system.slice/gateway.service/cpu.max': '400000 100000\n',
      '/sys/fs/cgroup/system.slice/gateway.service/memory.max': '1073741824\n'
    })
    t.same(limits, { cpus: 1, memoryBytes: 1_073_741_824 })
  })

  t.test('reads cgroup v1, whose controllers may share a line', async (t) => {
    const limits = limitsOf({
      '/proc/self/cgroup': '5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '150000',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '268435456'
    })
    t.same(limits, { cpus: 1.5, memoryBytes: 268_435_456 })
  })

  t.test('finds no limit where there is none', async (t) => {
    t.same(limitsOf({}), { cpus: null, memoryBytes: null })
    t.same(Object.keys(readContainerLimits()), ['cpus', 'memoryBytes'], 'on this machine')
  })
  t.end()
})

function choose(cpus: number, workers: number | null = null, maxConnections: number | null = 300) {
  const config = configOf({
    WORKERS: String(workers ?? 'auto'),
    HTTP_MAX_CONNECTIONS: String(maxConnections ?? 'none')
  })
  return chooseWorkers(config, cpus)
}

t.test('chooseWorkers()', async (t) => {
  t.same(
    [0.5, 1, 1.9, 2, 8].map((cpus) => choose(cpus)),
    [1, 1, 1, 2, 2]
  )
  t.equal(choose(2, 6), 6, 'does as configured')
  t.equal(choose(2, null, 1), 1, 'never more than connections')
  t.equal(choose(2, 6, null), 6)
})

t.test('availableCpus()', async (t) => {
  t.equal(availableCpus({ cpus: 0.5, memoryBytes: null }, 8), 0.5)
  t.equal(availableCpus({ cpus: 16, memoryBytes: null }, 8), 8)
  t.equal(availableCpus({ cpus: null, memoryBytes: null }, 8), 8)
  t.ok(availableCpus({ cpus: null, memoryBytes: null }) >= 1)
})

function limits(soft: string) {
  return () => `Limit                     Soft Limit           Hard Limit           Units
Max processes             unlimited            unlimited            processes
Max open files            ${soft}                 1048576              files
`
}

t.test('readOpenFilesLimit()', async (t) => {
  t.equal(readOpenFilesLimit(limits('1024')), 1024)
  t.equal(readOpenFilesLimit(limits('unlimited')), null)
  t.equal(
    readOpenFilesLimit(() => null),
    null
  )
  t.ok((readOpenFilesLimit() ?? Infinity) > 10, 'of this process')
})

t.test('chooseConnections()', async (t) => {
  const plan = { connectionsPerWorker: 1500, workers: 2 }
  const usual = configOf({})
  const wanting = (wanted: string) => configOf({ MAX_CLIENT_CONNECTIONS: wanted })
  t.equal(chooseConnections(usual, plan, 1_048_576), 1500, 'as planned')
  t.equal(chooseConnections(wanting('5000'), plan, 1_048_576), 2500, 'a share of what is wanted')
  t.equal(chooseConnections(wanting('1'), plan, 1_048_576), 1)
  t.equal(chooseConnections(usual, plan, null), 1500)
  t.equal(chooseConnections(usual, plan, 1024), 644, 'files for all upstream connections are left')
  const unlimited = configOf({ HTTP_MAX_CONNECTIONS: 'none' })
  t.equal(chooseConnections(unlimited, plan, 1024), 472, 'or half of them')
  t.equal(chooseConnections(usual, plan, 128), 24)
  t.equal(chooseConnections(usual, plan, 20), 1)
})

t.test('followOpenFiles()', async (t) => {
  let openFiles: number | null = 1024
  let now = 0
  const shell = { readLimit: () => openFiles, now: () => now }
  const follow = followOpenFiles(1500, () => 300, shell)
  const later = (limit: number | null): number => {
    openFiles = limit
    now += 1_000
    return follow()
  }
  t.equal(follow(), 644)
  openFiles = 128
  t.equal(follow(), 644, 'it is not looked up for every connection')
  t.equal(later(128), 24)
  t.equal(later(null), 24, 'unreadable: no file to spare')
  t.equal(later(1_048_576), 1500)
})
