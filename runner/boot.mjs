/**
 * An interpreter that has booted before there is a job: waits for the path and the arguments of its one program on descriptor 4, each
 * with a NUL between, then becomes that program. It is the same to the program as `node PATH ARGUMENT...`.
 */
import { closeSync, readSync, writeSync } from 'node:fs';
import Module from 'node:module';
import { resolve } from 'node:path';

const control = 4;
const maxMessageBytes = 64 * 1024;

// What a program's first line of output takes; not `process.stdout` itself, whose making changes the descriptor.
await Promise.all([import('node:net'), import('node:tty')]);
writeSync(control, 'r');
const message = Buffer.alloc(maxMessageBytes);
const length = readSync(control, message);
closeSync(control);
// The agent has gone.
if (length === 0) process.exit(0);
const [path, ...programArguments] = message.toString('utf8', 0, length).split('\0');
process.argv = [process.execPath, resolve(path), ...programArguments];
// Not called from here, so that no frame of this file is below those of the program.
process.nextTick(Module.runMain, process.argv[1]);
