import { isMainThread } from 'node:worker_threads';

/**
 * Loaded ahead of each process that the launcher starts (`node --import`): when the launcher is gone, even killed, the process stops
 * in its own orderly way, as if it had been asked to.
 */
if (isMainThread && process.channel) {
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  // Listening alone would keep a process alive that has nothing else to do.
  process.channel.unref();
}
