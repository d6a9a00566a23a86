import { existsSync } from 'node:fs'

/** Files that Docker, Podman and Kubernetes put into each container. */
const MARKS = ['/.dockerenv', '/run/.containerenv', '/dev/termination-log'] as const

/** Returns whether this process runs in a container, whose addresses are not those of its machine. */
export function isInContainer(exists: (path: string) => boolean = existsSync): boolean {
  return MARKS.some((mark) => exists(mark))
}
