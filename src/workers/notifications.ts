import { join } from 'node:path';
import { createNotificationActivities } from '../activities/notifications.ts';
import { readConfig } from '../config.ts';
import { openOrm } from '../database/orm.ts';
import { openFaults } from '../faults.ts';
import { createLogger } from '../logger.ts';
import { createLocalMailbox, createSmtpMailer, type Mailer, smtpConnections } from '../mail/mailer.ts';
import { taskQueues } from '../workflows/contract.ts';
import { runWorker } from './create-worker.ts';

/** The notifications worker: the only process that talks to the mail server. */
const config = readConfig(process.env);
const logger = createLogger('notifications-worker', config.LOG_LEVEL);
const faults = openFaults(config);
const orm = await openOrm(config.ATELIER_DATABASE_URL, faults.orm);
const mailer = faults.mailer(openMailer());
await runWorker(
  config,
  logger,
  {
    taskQueue: taskQueues.notifications,
    // What waits for a connection waits in the queue: its time to send has not begun, and no crash takes it along.
    maxConcurrentActivityTaskExecutions: smtpConnections,
    activities: faults.around(createNotificationActivities({ orm, mailer, origin: config.ATELIER_ORIGIN }), {
      sendMail: 'send-mail',
    }),
  },
  async () => {
    mailer.close();
    await orm.close();
  },
);

/** SMTP where it is configured, else the local mailbox; says which, and whether the server is there. Secrets are not said. */
function openMailer(): Mailer {
  const { SMTP_URL: url, MAIL_FROM: from } = config;
  if (url === undefined) {
    const folder = join(config.ATELIER_DATA, 'mailbox');
    logger.info({ folder }, 'no SMTP_URL: mails are written to the local mailbox');
    return createLocalMailbox(folder, from);
  }
  const smtp = createSmtpMailer(url, from);
  const server = new URL(url).host;
  // Not waited for: mails wait in their workflows until the server is there.
  smtp.verify().then(
    () => logger.info({ server }, 'the mail server is there'),
    (error: unknown) =>
      logger.error({ server, err: error }, 'the mail server cannot be used; mails are kept and tried for a day'),
  );
  return smtp;
}
