import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Email } from 'postal-mime';
import { notificationKinds } from '../../src/domain/notifications.ts';
import { createSmtpMailer, type Mailer } from '../../src/mail/mailer.ts';
import { writeMail } from '../../src/mail/templates.ts';
import type { DeliveryDetails } from '../../src/services/deliveries.ts';
import { MailServer } from '../support/mail-server.ts';

const origin = 'https://academy.example';
const submissionId = '01890a5d-ac96-774b-bcce-b302099a8057';
const taskId = '01890a5d-ac96-774b-bcce-b302099a8058';

/** A delivery that has all a mail can tell of. */
const details = (changes: Partial<DeliveryDetails> = {}): DeliveryDetails => ({
  id: '01890a5d-ac96-774b-bcce-b302099a8059',
  isDelivered: false,
  obstacle: null,
  kind: 'in-review',
  to: { email: 'ann@example.test', name: 'Ann Other' },
  submissionId,
  taskId,
  exerciseTitle: 'Night bus board',
  xp: 50,
  answerDueAt: new Date('2026-11-24T12:00:00Z'),
  verdict: null,
  remark: null,
  overriddenTo: null,
  waiting: null,
  ...changes,
});

const about = { submissionId: null, taskId: null, exerciseTitle: null, xp: null, answerDueAt: null } as const;
const waiting = {
  count: 7,
  first: [
    { exerciseTitle: 'Night bus board', answerDueAt: new Date('2026-11-20T12:00:00Z'), isOverdue: true },
    { exerciseTitle: 'Kitchen plan', answerDueAt: new Date('2026-11-24T12:00:00Z'), isOverdue: false },
  ],
};

let server: MailServer;
let mailer: Mailer;

beforeAll(async () => {
  server = new MailServer();
  await server.open();
  mailer = createSmtpMailer(server.url, 'Atelier <atelier@example.test>');
});

afterAll(async () => {
  mailer.close();
  await server.close();
});

beforeEach(() => {
  server.received.length = 0;
});

/** As it arrives: through nodemailer, SMTP, and a parser of another house. */
async function arrive(delivery: DeliveryDetails): Promise<Email> {
  await mailer.send({ ...writeMail(delivery, origin), messageId: '<1@academy.example>' });
  const received = server.received.pop();
  if (received === undefined) throw new Error('nothing has arrived');
  expect(received.recipients).toEqual([delivery.to.email]);
  return received.mail;
}

/** The HTML part as its reader sees it: what is no tag of ours is text. */
function readHtml(html: string): string {
  const body = html.slice(html.indexOf('<body>'));
  const text = body
    .replaceAll(/<br>|<\/(?:p|li|blockquote)>/g, '\n')
    .replaceAll(/<\/?(?:body|html|p|ul|li|blockquote|small|hr)>|<a href="[^"<>]*">|<\/a>/g, '');
  // Nothing that a browser would take for a tag is left.
  expect(text).not.toMatch(/[<>"]/);
  const entities: Readonly<Record<string, string>> = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'", '&amp;': '&' };
  return text.replaceAll(/&(?:lt|gt|quot|#39|amp);/g, (entity) => entities[entity] ?? '');
}

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '');

describe('each mail says what happened, what to do next, and when an answer is due', () => {
  it.each<[DeliveryDetails, { subject: string; says: readonly (string | RegExp)[] }]>([
    [
      details({ ...about, kind: 'welcome' }),
      { subject: 'Welcome to Atelier', says: ['Your account is ready', 'submit it', 'If it was not you'] },
    ],
    [
      details({ ...about, kind: 'already-registered' }),
      { subject: 'You have an Atelier account already', says: ['Nothing was changed', 'log in as before'] },
    ],
    [
      details({ kind: 'checks-failed', verdict: 'time-limit' }),
      {
        subject: 'Night bus board: the checks found something',
        says: ['it took longer than the exercise allows', 'push a fix, and submit again'],
      },
    ],
    [
      details({ kind: 'source-unavailable' }),
      { subject: 'Night bus board: your code could not be read', says: ['no attempt', 'submit again'] },
    ],
    [
      details({ kind: 'closed-by-admin' }),
      { subject: 'Night bus board: your submission was closed', says: ['no attempt', 'submit again'] },
    ],
    [
      details({ kind: 'in-review' }),
      {
        subject: 'Night bus board: passed the checks, now in review',
        says: [/answers by Tuesday,? 24 November 2026 at 12:00 UTC/, 'You need not do anything until then.'],
      },
    ],
    [
      details({ kind: 'approved', remark: 'Neat loop.\nWell named.' }),
      {
        subject: 'Night bus board: approved',
        says: ['its 50 XP are yours', 'Your reviewer writes:', 'Neat loop.', 'Well named.'],
      },
    ],
    [
      details({ kind: 'rejected', remark: 'Midnight is not handled.' }),
      {
        subject: 'Night bus board: the reviewer asks for changes',
        says: ['Your reviewer writes:', 'Midnight is not handled.', 'Make the changes, push them, and submit again.'],
      },
    ],
    [
      details({ kind: 'overridden', submissionId: null, overriddenTo: 'APPROVED', remark: 'Shown in class.' }),
      {
        subject: 'Night bus board: changed by an administrator',
        says: ['it counts as approved', 'The reason given:', 'Shown in class.', `${origin}/api/tasks/${taskId}`],
      },
    ],
    [
      details({ kind: 'overridden', overriddenTo: 'reassigned', remark: 'Moved to another group.' }),
      {
        subject: 'Night bus board: changed by an administrator',
        says: ['it is no longer yours', 'Moved to another group.'],
      },
    ],
    [
      details({ kind: 'task-assigned', submissionId: null }),
      {
        subject: 'Night bus board: assigned to you',
        says: ['Clone its repository', 'submit it', `${origin}/api/tasks/${taskId}`],
      },
    ],
    [
      details({ kind: 'review-overdue' }),
      {
        subject: 'Night bus board: the answer is late',
        says: [/was to be answered by Tuesday,? 24 November 2026 at 12:00 UTC/, 'You need not do anything'],
      },
    ],
    [
      details({ kind: 'review-reminder', waiting }),
      {
        subject: '7 submissions wait for a review, some too long',
        says: [
          /“Night bus board”, overdue: promised by Friday,? 20 November 2026 at 12:00 UTC/,
          /“Kitchen plan”, due by Tuesday,? 24 November 2026 at 12:00 UTC/,
          'and 5 more',
          `${origin}/api/reviews/queue`,
        ],
      },
    ],
  ])('$kind', async (delivery, { subject, says }) => {
    const mail = await arrive(delivery);
    expect(mail.subject).toBe(subject);
    expect(mail.to).toEqual([{ name: 'Ann Other', address: 'ann@example.test' }]);
    const text = mail.text ?? '';
    const html = readHtml(mail.html ?? '');
    for (const part of [text, html]) {
      expect(part).toContain('Hello Ann Other,');
      expect(says.filter((said) => (typeof said === 'string' ? !part.includes(said) : !said.test(part)))).toEqual([]);
      expect(part).not.toMatch(/undefined|null|NaN|\[object/);
    }
    // Both parts say the same, but for the marks of quotations and lists.
    expect(words(html)).toEqual(words(text.replaceAll(/^(?:> |>$|- |-- $)/gm, '')));
  });

  it.each<[string, Partial<DeliveryDetails>, string]>([
    ['a submission', {}, `/api/submissions/${submissionId}`],
    ['a task that nothing was submitted for', { submissionId: null }, `/api/tasks/${taskId}`],
    ['the queue', { waiting }, '/api/reviews/queue'],
    ['the academy', about, '/'],
  ])('a mail about %s leads there', async (_name, changes, path) => {
    const mail = await arrive(details(changes));
    expect(mail.html).toContain(`<a href="${origin}${path}">${origin}${path}</a>`);
    expect(mail.text).toContain(`: ${origin}${path}\n`);
  });

  it.each(notificationKinds)('%s says something sensible where all that may be missing is missing', async (kind) => {
    const mail = await arrive(details({ ...about, kind, to: { email: 'ann@example.test', name: '' } }));
    for (const part of [mail.subject, mail.text, mail.html]) expect(part).not.toMatch(/undefined|null|NaN|\[object/);
    expect(mail.text).toMatch(/^Hello,\n/);
  });

  it('a single submission that waits is one', async () => {
    const mail = await arrive(details({ kind: 'review-overdue', waiting: { count: 1, first: waiting.first.slice(1) } }));
    expect(mail.subject).toBe('1 submission waits for a review');
  });
});

const hostile = [
  '<script>alert(1)</script>',
  '</p></body><img src=x onerror=alert(1)>',
  '"><a href="https://evil.example">',
  "' onmouseover='alert(1)",
  '&lt;b&gt;&amp;',
  'a\r\nBcc: eve@example.test\r\n\r\nbody',
  '\r\n.\r\nQUIT\r\n',
  '=?utf-8?q?=0D=0ABcc:eve@example.test?=',
  '\u202Etxet desrever',
  'a\u2028b\u2029c',
  '-- \nSent by somebody else',
  '🚌'.repeat(100),
  'x'.repeat(5_000),
  '—=_Part_0--',
];
const anyText = fc.oneof(
  fc.constantFrom(...hostile),
  fc.string({ unit: 'binary', maxLength: 300 }).map((text) => text.toWellFormed().replaceAll('\0', '')),
  fc.array(fc.constantFrom(...hostile), { maxLength: 4 }).map((parts) => parts.join('')),
);
const anyDelivery = fc.record({
  kind: fc.constantFrom(...notificationKinds),
  name: anyText,
  title: anyText,
  remark: anyText,
  isDigest: fc.boolean(),
});

const encodedLine = '=?utf-8?q?=0D=0ABcc:eve@example.test?=';

describe('whatever people write', () => {
  it('a mail has one recipient, the same header fields, one line of subject, and no element that is not ours', async () => {
    await fc.assert(
      fc.asyncProperty(anyDelivery, async ({ kind, name, title, remark, isDigest }) => {
        const first = [{ exerciseTitle: title, answerDueAt: new Date(0), isOverdue: true }];
        const mail = await arrive(
          details({
            kind,
            to: { email: 'ann@example.test', name },
            exerciseTitle: title,
            remark,
            overriddenTo: 'APPROVED',
            waiting: isDigest ? { count: 1, first } : null,
          }),
        );
        expect(mail.headers.map(({ key }) => key).toSorted()).toEqual([
          'auto-submitted',
          'content-type',
          'date',
          'from',
          'message-id',
          'mime-version',
          'subject',
          'to',
        ]);
        expect(mail.to?.map(({ address }) => address)).toEqual(['ann@example.test']);
        expect(mail.from?.address).toBe('atelier@example.test');
        expect(mail.attachments).toEqual([]);
        expect((mail.subject ?? '').length).toBeLessThanOrEqual(120);
        expect(mail.subject).not.toMatch(/[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/u);
        const html = mail.html ?? '';
        expect(readHtml(html)).toContain('where you have an account');
        // Nothing is loaded when the mail is opened, and no link leads elsewhere.
        expect([...html.matchAll(/<a href="([^"]*)"/g)].every(([, url]) => url?.startsWith(`${origin}/`))).toBe(true);
        expect(html.replaceAll(/>[^<]*</g, '><')).not.toMatch(
          /src=|style=|url\(|@import|<(?:script|img|link|iframe|style|meta(?! charset))/i,
        );
      }),
      // Found by chance once: what mail programs decode.
      { numRuns: 300, examples: [[{ kind: 'approved', name: encodedLine, title: encodedLine, remark: '', isDigest: false }]] },
    );
  });

  it('a comment arrives as it was written, in both parts', async () => {
    const lines = fc.array(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).map((text) => text.replaceAll(/[\p{Cc}\s]/gu, ' ').trim()),
      { minLength: 1, maxLength: 10 },
    );
    await fc.assert(
      fc.asyncProperty(
        lines.map((all) => all.filter((written) => written !== '')).filter((all) => all.length > 0),
        async (all) => {
          const mail = await arrive(details({ kind: 'rejected', remark: all.join('\n') }));
          expect(words(readHtml(mail.html ?? '')).join(' ')).toContain(words(all.join(' ')).join(' '));
          const quoted = (mail.text ?? '').split('\n').filter((written) => written.startsWith('> '));
          expect(quoted.map((written) => written.slice(2).trim())).toEqual(all);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('a long comment is cut between characters, and the mail says so', async () => {
    const mail = await arrive(details({ kind: 'rejected', remark: `a${'🚌'.repeat(5_000)}` }));
    expect(mail.text).toContain('(cut here: the whole text is in the academy)');
    expect((mail.text ?? '').length).toBeLessThan(3_000);
    expect(mail.text).not.toContain('\uFFFD');
    expect(mail.html).not.toContain('\uFFFD');
  });

  it.each(['You have won: http://evil.example', 'Call eve@example.test', 'www.evil.example', 'x'.repeat(61), '<b>Ann</b>'])(
    'the name %j is not sent to whoever has the address',
    async (name) => {
      const mail = await arrive(details({ ...about, kind: 'welcome', to: { email: 'ann@example.test', name } }));
      expect(mail.to).toEqual([{ name: '', address: 'ann@example.test' }]);
      expect(mail.text).toMatch(/^Hello,\n/);
      expect(mail.html).toContain('<p>Hello,</p>');
    },
  );

  it.each(['Ann Other', 'J. R. R. Tolkien', "Anne O'Neill-Smith", 'Żółć Gęślą', '山田 太郎', 'محمد'])(
    'the name %s is',
    async (name) => {
      const mail = await arrive(details({ to: { email: 'ann@example.test', name } }));
      expect(mail.to?.[0]?.name).toBe(name);
      expect(mail.text).toContain(`Hello ${name},`);
    },
  );
});
