/*
 * Frames, both ways: type (1 byte), length of the payload (u32), payload. Numbers are big endian. A "block" is a u32 length and as many
 * bytes; an argument list is a block of strings that each end with a NUL. The other side is src/sandbox/agent-protocol.ts.
 *
 * In:   'F' file     flags u8 (1 executable, 2 only for the group), group u32, path block, content (the rest)
 *       'B' boot     user u32, processes u32, file bytes u64, memory bytes u64, arguments block: starts an interpreter that waits for its program
 *       'R' run      user u32, peer's user u32, flags u8 (1: in the booted interpreter), wall ms u32, CPU ms u32, memory bytes u64,
 *                    processes u32, output bytes u32, file bytes u64, report bytes u32, artifact bytes u32; blocks: arguments,
 *                    peer's arguments (empty: none), artifact's path below /tmp (empty: none), standard input
 * Out:  'S' started  the agent is there
 *       'B' booted   u8: whether the interpreter waits
 *       'O' output   stream u8 (1 stdout, 2 stderr, 3 report, 4 peer's stdout and stderr), bytes; while the run is made
 *       'A' artifact bytes, in pieces; before the result
 *       'R' result   status u8 (enum status), flags u8 (1 report cut, 2 artifact sent, 4 process limit hit), exit code u32, signal u32,
 *                    wall us u64, CPU us u64, memory peak bytes u64
 *       'E' error    text: the agent's own trouble; it ends
 */
#pragma once

enum status { EXITED, SIGNALLED, WALL_TIME_LIMIT, CPU_TIME_LIMIT, MEMORY_LIMIT, OUTPUT_LIMIT };
enum { STDOUT = 1, STDERR, REPORT, PEER };
enum { FILE_EXECUTABLE = 1, FILE_FOR_GROUP = 2, RUN_BOOTED = 1, REPORT_CUT = 1, ARTIFACT_SENT = 2, PROCESS_LIMIT_HIT = 4 };
