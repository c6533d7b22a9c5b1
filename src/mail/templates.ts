import type { DeliveryDetails } from '../services/notifications.ts';
import type { Mail } from './mailer.ts';

interface Letter {
  readonly subject: string;
  readonly paragraphs: readonly string[];
  readonly link: string;
}

const due = (at: Date | null) => (at === null ? 'soon' : `by ${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`);

/** Writes the mail of one delivery, as text and as HTML; every value from outside is escaped in HTML and kept out of header lines. */
export function writeMail(delivery: DeliveryDetails, origin: string): Omit<Mail, 'messageId'> {
  const letter = letterOf(delivery, origin);
  const greeting = `Hello ${delivery.to.name},`;
  const text = [greeting, ...letter.paragraphs, letter.link].join('\n\n');
  const html = [greeting, ...letter.paragraphs]
    .map((paragraph) => `<p>${escapeHtml(paragraph)}</p>`)
    .concat(`<p><a href="${escapeHtml(letter.link)}">${escapeHtml(letter.link)}</a></p>`)
    .join('\n');
  return { to: delivery.to, subject: letter.subject.replaceAll(/[\r\n]+/g, ' '), text: `${text}\n`, html };
}

function letterOf(delivery: DeliveryDetails, origin: string): Letter {
  const exercise = delivery.exerciseTitle ?? 'your exercise';
  const link = delivery.submissionId === null ? origin : `${origin}/api/submissions/${delivery.submissionId}`;
  switch (delivery.kind) {
    case 'welcome':
      return {
        subject: 'Welcome to Atelier',
        paragraphs: ['Your account is ready, and your first task waits for you.'],
        link,
      };
    case 'already-registered':
      return {
        subject: 'You have an Atelier account already',
        paragraphs: ['Somebody, probably you, tried to register with this address. Nothing was changed: log in as before.'],
        link,
      };
    case 'checks-failed':
      return {
        subject: `${exercise}: the checks found something`,
        paragraphs: [
          `Your submission of “${exercise}” did not pass its checks.`,
          'See what failed, push a fix and submit again.',
        ],
        link,
      };
    case 'source-unavailable':
      return {
        subject: `${exercise}: your code could not be read`,
        paragraphs: [`The code of your submission of “${exercise}” could not be read. This costs you no attempt: submit again.`],
        link,
      };
    case 'closed-by-admin':
      return {
        subject: `${exercise}: your submission was closed`,
        paragraphs: [`Your submission of “${exercise}” was closed by an administrator. It costs you no attempt: submit again.`],
        link,
      };
    case 'in-review':
      return {
        subject: `${exercise}: passed the checks, now in review`,
        paragraphs: [`“${exercise}” has passed its checks. A reviewer answers ${due(delivery.answerDueAt)}.`],
        link,
      };
    case 'approved':
      return { subject: `${exercise}: approved`, paragraphs: [`“${exercise}” is approved. Your XP is booked.`], link };
    case 'rejected':
      return {
        subject: `${exercise}: the reviewer asks for changes`,
        paragraphs: [`The reviewer of “${exercise}” asks for changes. Read the comment, push a fix and submit again.`],
        link,
      };
    case 'overridden':
      return {
        subject: `${exercise}: changed by an administrator`,
        paragraphs: [`An administrator has changed the state of “${exercise}”. See what it is now, and why.`],
        link,
      };
    case 'task-assigned':
      return {
        subject: `${exercise}: assigned to you`,
        paragraphs: [`An administrator has assigned “${exercise}” to you. Clone its repository to begin.`],
        link,
      };
    case 'review-wanted':
    case 'review-reminder':
      return {
        subject: `${exercise}: waits for a review`,
        paragraphs: [`A submission of “${exercise}” waits for a review.`],
        link,
      };
    case 'review-overdue':
      return {
        subject: `${exercise}: the answer is overdue`,
        paragraphs: [`The review of “${exercise}” was due ${due(delivery.answerDueAt)}. The reviewers have been reminded.`],
        link,
      };
  }
}

function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);
}
