import type { DeliveryDetails } from '../services/deliveries.ts';
import type { Mail } from './mailer.ts';

/** A part of a letter: a paragraph of ours, what somebody wrote, or a list of ours. */
type Block = string | { readonly quote: string; readonly by: string } | { readonly list: readonly string[] };

interface Letter {
  readonly subject: string;
  readonly blocks: readonly Block[];
}

/** Mail clients cut subjects at some 70 characters; what stands first is what counts. */
const maxSubjectLength = 120;
/** Leaves room in the subject for what happened. */
const maxTitleLength = 70;
const maxNameLength = 60;
/** A comment may have 20 times as much; the rest is in the academy. */
const maxQuoteLength = 2_000;

/**
 * Writes the mail of one delivery, as text and as HTML: what happened, what to do next, and when an answer is due. Whatever comes from
 * outside is escaped in HTML, marked as a quotation where it is long, and kept out of header lines.
 */
export function writeMail(delivery: DeliveryDetails, origin: string): Omit<Mail, 'messageId'> {
  const { subject, blocks } = letterOf(delivery);
  const name = displayNameOf(delivery.to.name);
  const greeting = name === '' ? 'Hello,' : `Hello ${name},`;
  const footer = `Sent by ${origin}, where you have an account. Nobody reads answers to this address.`;
  const letter = {
    subject: cut(headerLine(subject), maxSubjectLength),
    blocks: [greeting, ...blocks],
    links: linksOf(delivery, origin),
    footer,
  };
  return { to: { name, email: delivery.to.email }, subject: letter.subject, text: asText(letter), html: asHtml(letter) };
}

/** Where the reader finds more; an address below /api asks for the reader's access token. */
function linksOf(delivery: DeliveryDetails, origin: string): readonly (readonly [label: string, url: string])[] {
  const academy = ['The academy', `${origin}/`] as const;
  if (delivery.waiting !== null) return [academy, ['The review queue', `${origin}/api/reviews/queue`]];
  if (delivery.submissionId !== null) return [academy, ['This submission', `${origin}/api/submissions/${delivery.submissionId}`]];
  if (delivery.taskId !== null) return [academy, ['This task', `${origin}/api/tasks/${delivery.taskId}`]];
  return [academy];
}

function letterOf(delivery: DeliveryDetails): Letter {
  const { kind, remark, waiting } = delivery;
  const title = cut(line(delivery.exerciseTitle ?? 'Your exercise'), maxTitleLength);
  const named = `“${title}”`;
  if (waiting !== null) return digest(waiting);
  switch (kind) {
    case 'welcome':
      return {
        subject: 'Welcome to Atelier',
        blocks: [
          'Your account is ready, and your first task waits for you: get the list of your tasks, clone the repository of the first, push what you wrote, and submit it.',
          'Each submission is checked by tests first, then read by a reviewer. You get a mail when there is an answer.',
          'If it was not you who registered, somebody has mistaken your address for theirs: you need not do anything.',
        ],
      };
    case 'already-registered':
      return {
        subject: 'You have an Atelier account already',
        blocks: [
          'Somebody, probably you, tried to register with this address. Nothing was changed: log in as before.',
          'If it was not you, you need not do anything.',
        ],
      };
    case 'checks-failed':
      return {
        subject: `${title}: the checks found something`,
        blocks: [
          `Your submission of ${named} did not pass its checks: ${reasonOf(delivery.verdict)}.`,
          'Look at the results, push a fix, and submit again.',
        ],
      };
    case 'source-unavailable':
      return {
        subject: `${title}: your code could not be read`,
        blocks: [
          `The code of your submission of ${named} could not be fetched, so it was not checked. This costs you no attempt.`,
          'Make sure that the repository can be read without a password and that the branch or commit is there, and submit again.',
        ],
      };
    case 'closed-by-admin':
      return {
        subject: `${title}: your submission was closed`,
        blocks: [`Your submission of ${named} was closed by an administrator. This costs you no attempt: you may submit again.`],
      };
    case 'in-review':
      return {
        subject: `${title}: passed the checks, now in review`,
        blocks: [
          `Your submission of ${named} has passed its checks. A reviewer answers ${dueBy(delivery.answerDueAt)}.`,
          'You need not do anything until then.',
        ],
      };
    case 'approved':
      return {
        subject: `${title}: approved`,
        blocks: [
          `Your submission of ${named} is approved${delivery.xp === null ? '' : `, and its ${delivery.xp} XP are yours`}.`,
          ...quoted(remark, 'Your reviewer writes:'),
          'You may go on with the next exercise.',
        ],
      };
    case 'rejected':
      return {
        subject: `${title}: the reviewer asks for changes`,
        blocks: [
          `Your submission of ${named} is not approved yet: the reviewer asks for changes.`,
          ...quoted(remark, 'Your reviewer writes:'),
          'Make the changes, push them, and submit again.',
        ],
      };
    case 'overridden':
      return {
        subject: `${title}: changed by an administrator`,
        blocks: [
          `An administrator has changed the state of your task ${named}: ${stateOf(delivery.overriddenTo)}`,
          ...quoted(remark, 'The reason given:'),
        ],
      };
    case 'task-assigned':
      return {
        subject: `${title}: assigned to you`,
        blocks: [
          `An administrator has assigned the task ${named} to you.`,
          'Clone its repository, push what you wrote, and submit it.',
        ],
      };
    case 'review-overdue':
      return {
        subject: `${title}: the answer is late`,
        blocks: [
          `Your submission of ${named} was to be answered ${dueBy(delivery.answerDueAt)}. That has not happened, and we are sorry.`,
          'The reviewers have been reminded. You need not do anything: your submission keeps its place.',
        ],
      };
    case 'review-wanted':
    case 'review-reminder':
      return { subject: `${title}: waits for a review`, blocks: [`A submission of ${named} waits for a review.`] };
  }
}

function digest({ count, first }: NonNullable<DeliveryDetails['waiting']>): Letter {
  const list = first.map(
    ({ exerciseTitle, answerDueAt, isOverdue }) =>
      `“${cut(line(exerciseTitle), maxTitleLength)}”, ${isOverdue ? 'overdue: promised' : 'due'} ${dueBy(answerDueAt)}`,
  );
  if (count > first.length) list.push(`and ${count - first.length} more`);
  const waits = count === 1 ? '1 submission waits' : `${count} submissions wait`;
  return {
    subject: `${waits} for a review${first.some(({ isOverdue }) => isOverdue) ? ', some too long' : ''}`,
    blocks: [
      `${waits} for a review:`,
      { list },
      'Students were promised an answer by then. Take one from the queue; you get this reminder at most once a day.',
    ],
  };
}

/** In words for the student. */
function reasonOf(verdict: DeliveryDetails['verdict']): string {
  switch (verdict) {
    case 'wrong-answer':
      return 'some tests did not pass';
    case 'time-limit':
      return 'it took longer than the exercise allows';
    case 'memory-limit':
      return 'it took more memory than the exercise allows';
    case 'output-limit':
      return 'it printed more than the exercise allows';
    case 'run-error':
      return 'it ended with an error';
    case 'compile-error':
      return 'it could not be loaded or compiled';
    case 'check-failed':
    case 'accepted':
    case null:
      return 'a check did not pass';
  }
}

function stateOf(overriddenTo: DeliveryDetails['overriddenTo']): string {
  switch (overriddenTo) {
    case 'APPROVED':
      return 'it counts as approved, and its XP are yours.';
    case 'REJECTED':
      return 'changes are asked for. Make them, push, and submit again.';
    case 'TODO':
      return 'it is open again, as if it had not been begun.';
    case 'IN_PROGRESS':
      return 'it is open again. Go on with it, and submit when it is ready.';
    case 'reassigned':
      return 'it is no longer yours, but assigned to somebody else.';
    case null:
      return 'look at what it is now.';
  }
}

const quoted = (remark: string | null, by: string): readonly Block[] =>
  remark === null || remark.trim() === '' ? [] : [{ quote: paragraphs(remark), by }];

const instants = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'short', timeZone: 'UTC' });

/** In UTC: where the reader is, is not known. */
const dueBy = (at: Date | null) => (at === null ? 'soon' : `by ${instants.format(at)} UTC`);

/** At most so many characters, never half of one. */
function cut(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  return `${text.slice(0, maxLength - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** One line: no control characters, and no marks that turn the direction of what follows. */
const line = (text: string) =>
  text
    .replaceAll(/[\u202A-\u202E\u2066-\u2069]/g, '')
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim();

/** A line that mail programs show as it is: `=?` begins what they decode, line ends and all (RFC 2047). */
const headerLine = (text: string) => line(text).replaceAll('=?', '= ?');

/** Lines of text, cut where it is long; no control characters but the ends of lines. */
function paragraphs(text: string): string {
  const clean = text
    .replaceAll(/\r\n?|[\u2028\u2029]/g, '\n')
    .replaceAll('\t', '  ')
    .replaceAll(/[^\P{Cc}\n]/gu, '')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim();
  return clean.length <= maxQuoteLength ? clean : `${cut(clean, maxQuoteLength)}\n(cut here: the whole text is in the academy)`;
}

/**
 * The name to greet by; empty where it is none. Anybody may register with somebody else's address, so a name that reads like an
 * advertisement or an address must not be sent out by us.
 */
function displayNameOf(name: string): string {
  const plain = headerLine(name);
  return plain.length > maxNameLength || /[@:/\\<>]|\.\S/.test(plain) ? '' : plain;
}

interface WholeLetter extends Letter {
  readonly links: ReturnType<typeof linksOf>;
  readonly footer: string;
}

function asText({ blocks, links, footer }: WholeLetter): string {
  const parts = blocks.map((block) => {
    if (typeof block === 'string') return block;
    if ('list' in block) return block.list.map((item) => `- ${item}`).join('\n');
    // So marked, nothing in it passes for our own words.
    return `${block.by}\n\n${block.quote.replaceAll(/^/gm, '> ')}`;
  });
  return `${[...parts, links.map(([label, url]) => `${label}: ${url}`).join('\n'), `-- \n${footer}`].join('\n\n')}\n`;
}

/** Plain elements that every client and screen reader knows; nothing is loaded from anywhere. */
function asHtml({ subject, blocks, links, footer }: WholeLetter): string {
  const parts = blocks.map((block) => {
    if (typeof block === 'string') return `<p>${escapeHtml(block)}</p>`;
    if ('list' in block) return `<ul>${block.list.map((item) => `<li>${escapeHtml(item)}</li>`).join('')}</ul>`;
    return `<p>${escapeHtml(block.by)}</p>\n<blockquote>${escapeHtml(block.quote).replaceAll('\n', '<br>')}</blockquote>`;
  });
  const items = links.map(([label, url]) => `${escapeHtml(label)}: <a href="${escapeHtml(url)}">${escapeHtml(url)}</a>`);
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escapeHtml(subject)}</title></head>
<body>
${parts.join('\n')}
<p>${items.join('<br>')}</p>
<hr>
<p><small>${escapeHtml(footer)}</small></p>
</body>
</html>
`;
}

function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);
}
