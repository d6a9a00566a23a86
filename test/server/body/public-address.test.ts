import t from 'tap'
import { isPublicAddress } from '../../../src/server/body/public-address.ts'

t.test('isPublicAddress()', async (t) => {
  for (const address of [
    '8.8.8.8',
    '1.0.0.1',
    '172.15.255.255',
    '172.32.0.0',
    '2606:4700::1111',
    '::ffff:8.8.8.8',
    '2a00:1450:4001:80b::200e',
    '64:ff9b::808:808',
    '64:ff9b::8.8.8.8',
    '2002:808:808::1',
    '168.63.129.17'
  ]) {
    t.ok(isPublicAddress(address), address)
  }
  for (const address of [
    '',
    'localhost',
    '0.0.0.0',
    '127.0.0.1',
    '127.255.255.255',
    '10.0.0.1',
    '100.64.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '::ffff:10.0.0.1',
    '64:ff9b::7f00:1',
    'fd00::1',
    'fe80::1',
    'fe80::1%eth0',
    'ff02::1',
    '2002:7f00:1::',
    '2002:a9fe:a9fe::1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::10.0.0.1',
    '64:ff9b:1::808:808',
    '2001::1',
    '2001:1ff::1',
    '2001:db8::1',
    '3fff::1',
    '3fff:fff:ffff::1',
    '168.63.129.16',
    '192.88.99.1',
    '192.0.0.192',
    '240.0.0.1',
    // Given out to nobody yet: a list of what is private would let them through.
    '4000::1',
    '1000::1',
    '8000::1',
    '5f00::1',
    'fec0::1',
    '::8.8.8.8'
  ]) {
    t.notOk(isPublicAddress(address), address)
  }
})
