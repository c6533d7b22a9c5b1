import { endianness } from 'node:os';

/** Numbers of a system call, x86-64 and arm64 (linux/arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h). */
type Numbers = readonly [x64: number, arm64: number];

/** What student code has no use for, and what reaches far into the kernel or holds memory that no process shows as its own. */
const refused: Readonly<Record<string, Numbers>> = {
  shmget: [29, 194],
  semget: [64, 190],
  msgget: [68, 186],
  mq_open: [240, 180],
  memfd_create: [319, 279],
  memfd_secret: [447, 447],
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  pidfd_getfd: [438, 438],
  kcmp: [312, 272],
  syslog: [103, 116],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  unshare: [272, 97],
  setns: [308, 268],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  open_by_handle_at: [304, 265],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
};
const clone: Numbers = [56, 220];
const clone3: Numbers = [435, 435];
const socket: Numbers = [41, 198];

/** CLONE_NEW* of user, mount, pid, network, ipc, uts and cgroup namespaces. */
const newNamespaces = 0x7e020000;
/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: within the sandbox's own empty network. Not AF_VSOCK, which leads to the hypervisor. */
const socketFamilies = [1, 2, 10, 16];
/** x86-64 kernels answer a second set of numbers from here on (x32). */
const firstX32Number = 0x40000000;

const architectures: Readonly<Record<string, { readonly audit: number; readonly column: 0 | 1 }>> = {
  x64: { audit: 0xc000003e, column: 0 },
  arm64: { audit: 0xc00000b7, column: 1 },
};

const offsets = { number: 0, architecture: 4, firstArgument: 16 } as const;
const errors = { EPERM: 1, ENOSYS: 38 } as const;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const jumpIfEqual = (value: number, ifTrue: number, ifFalse: number): Instruction => [0x15, ifTrue, ifFalse, value];
const jumpIfAtLeast = (value: number, ifTrue: number, ifFalse: number): Instruction => [0x35, ifTrue, ifFalse, value];
const jumpIfAnyBit = (mask: number, ifTrue: number, ifFalse: number): Instruction => [0x45, ifTrue, ifFalse, mask];
const allow: Instruction = [0x06, 0, 0, 0x7fff0000];
const fail = (error: keyof typeof errors): Instruction => [0x06, 0, 0, 0x00050000 | errors[error]];

/** Passes over `body` unless the call is `number`; `body` may end without a decision, the number is loaded again behind it. */
function onCall(number: number, body: readonly Instruction[]): readonly Instruction[] {
  return [jumpIfEqual(number, 0, body.length + 1), ...body, load(offsets.number)];
}

/**
 * A compiled seccomp filter for bubblewrap, in the kernel's `struct sock_filter` layout: a list of refused system calls, as bubblewrap
 * takes no names. Null for a processor whose numbers are not known here.
 */
export function seccompFilter(architecture: string): Buffer | null {
  const known = architectures[architecture];
  if (known === undefined || endianness() !== 'LE') return null;
  const { audit, column } = known;
  const families = socketFamilies.map((family, index) => jumpIfEqual(family, socketFamilies.length - index, 0));
  const program: readonly Instruction[] = [
    // The 32-bit entry of the same kernel has other numbers.
    load(offsets.architecture),
    jumpIfEqual(audit, 1, 0),
    fail('EPERM'),
    load(offsets.number),
    jumpIfAtLeast(firstX32Number, 0, 1),
    fail('EPERM'),
    ...Object.values(refused).flatMap((numbers) => onCall(numbers[column], [fail('EPERM')])),
    ...onCall(clone[column], [load(offsets.firstArgument), jumpIfAnyBit(newNamespaces, 0, 1), fail('EPERM')]),
    // Its flags lie in memory, which a filter cannot read; the C library then falls back to clone.
    ...onCall(clone3[column], [fail('ENOSYS')]),
    ...onCall(socket[column], [load(offsets.firstArgument), ...families, fail('EPERM')]),
    allow,
  ];
  const filter = Buffer.alloc(program.length * 8);
  for (const [index, [code, ifTrue, ifFalse, value]] of program.entries()) {
    filter.writeUInt16LE(code, index * 8);
    filter.writeUInt8(ifTrue, index * 8 + 2);
    filter.writeUInt8(ifFalse, index * 8 + 3);
    filter.writeUInt32LE(value, index * 8 + 4);
  }
  return filter;
}
