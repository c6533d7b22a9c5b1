/**
 * `node serve.mjs`: the submission's half of a test of two processes, in the submission's own process and as its user. Loads modules of the
 * work folder and calls them as the tests ask. Nothing that is said here is trusted by the other half.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Conversation } from './conversation.mjs';
import { memberKey } from './values.mjs';

async function load(path) {
  const module = await import(pathToFileURL(resolve(path)).href);
  const names = Object.keys(module).filter((name) => conversation.canCarry(module[name]));
  return names.map((name) => [name, module[name]]);
}

function answer({ op, name }, [subject, ...args]) {
  switch (op) {
    case 'load':
      return load(name);
    case 'call':
      return Reflect.apply(subject, args[0], args.slice(1));
    case 'new':
      return Reflect.construct(subject, args);
    case 'method':
      return subject[memberKey(name)](...args);
    case 'get':
      return subject[memberKey(name)];
    case 'set':
      subject[memberKey(name)] = args[0];
      return undefined;
    default:
      throw new Error(`no operation ${op}`);
  }
}

const conversation = new Conversation({ sign: -1, answer });
await conversation.serve();
process.exit(0);
