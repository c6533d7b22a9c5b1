import { join } from 'node:path';
import { createNotificationActivities } from '../activities/notifications.ts';
import { readConfig } from '../config.ts';
import { openOrm } from '../database/orm.ts';
import { createLogger } from '../logger.ts';
import { createLocalMailbox, createSmtpMailer } from '../mail/mailer.ts';
import { taskQueues } from '../workflows/contract.ts';
import { runWorker } from './create-worker.ts';

/** The notifications worker: the only process that talks to the mail server. */
const config = readConfig(process.env);
const logger = createLogger('notifications-worker', config.LOG_LEVEL);
const orm = await openOrm(config.ATELIER_DATABASE_URL);
const mailer =
  config.SMTP_URL === undefined
    ? createLocalMailbox(join(config.ATELIER_DATA, 'mailbox'), config.MAIL_FROM)
    : createSmtpMailer(config.SMTP_URL, config.MAIL_FROM);
await runWorker(
  config,
  logger,
  {
    taskQueue: taskQueues.notifications,
    activities: createNotificationActivities({ orm, mailer, origin: config.ATELIER_ORIGIN }),
  },
  async () => {
    mailer.close();
    await orm.close();
  },
);
