type Allocate = (...args: readonly unknown[]) => unknown

/** Makes `Buffer.allocUnsafeSlow()` fail as V8 does without memory, for sizes that `fails` names. */
export function failingAllocation(fails: (bytes: number) => boolean): Disposable {
  return replace('allocUnsafeSlow', (bytes) => typeof bytes === 'number' && fails(bytes))
}

/** The same for `Buffer.concat()` of anything. */
export function failingConcat(): Disposable {
  return replace('concat', (chunks) => Array.isArray(chunks) && chunks.length > 0)
}

function replace(name: 'allocUnsafeSlow' | 'concat', fails: (arg: unknown) => boolean): Disposable {
  const allocate = Reflect.get(Buffer, name) as Allocate
  const failing: Allocate = (...args) => {
    if (fails(args[0])) throw new RangeError('Array buffer allocation failed')
    return Reflect.apply(allocate, Buffer, args)
  }
  Object.assign(Buffer, { [name]: failing })
  return { [Symbol.dispose]: () => Object.assign(Buffer, { [name]: allocate }) }
}
