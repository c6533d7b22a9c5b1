import { DomainError } from '../../domain/errors.ts';
import { defaultBranch } from '../../git/repositories.ts';
import { startTask } from '../../services/enrolments.ts';
import { selectStarterFiles } from '../../services/exercises.ts';
import { once } from '../../services/idempotency.ts';
import { markSubmissionStarted, newSubmissionId, selectStartable, submitTask } from '../../services/submissions.ts';
import { listTasks, selectTask, type TaskView } from '../../services/tasks.ts';
import type { tasksContract } from '../contract/tasks.ts';
import type { Dependencies } from '../dependencies.ts';
import type { Answer, Handlers } from '../mount.ts';

type Accepted = Answer<typeof tasksContract.submitTask>['body'];

export function tasksHandlers({ config, orm, repositories, workflows, logger }: Dependencies): Handlers<typeof tasksContract> {
  const withCloneUrl = <T extends TaskView>(task: T) => ({ ...task, cloneUrl: `${config.ATELIER_ORIGIN}/git/${task.id}.git` });

  /** The commit to judge, resolved once: what is pushed later is the next attempt's. */
  async function resolveSource(taskId: string, ref: string | undefined) {
    const resolved = await repositories.resolve(taskId, ref ?? defaultBranch);
    if (resolved.status === 'missing') {
      throw new DomainError(
        'ref-not-found',
        `The repository has no branch, tag or commit "${ref ?? defaultBranch}": push it first.`,
      );
    }
    if (resolved.isStarter)
      throw new DomainError('nothing-pushed', 'Only the starter is there: commit your work, push it, then submit.');
    return { kind: 'hosted', repositoryId: taskId, commit: resolved.commit } as const;
  }

  /** Starts the workflow without making the student wait for it: where it fails, the relay starts it from the row. */
  async function startSoon(submissionId: string): Promise<void> {
    try {
      await workflows.start(await selectStartable(orm.em.fork(), submissionId));
      await markSubmissionStarted(orm.em.fork(), submissionId);
    } catch (error) {
      logger.warn({ err: error, submissionId }, 'accepted; the relay will start its workflow');
    }
  }

  return {
    async listTasks({ em, actor }) {
      return { body: { items: (await listTasks(em, actor.id)).map(withCloneUrl) } };
    },
    async startTask({ em, actor, body }) {
      const { taskId } = await startTask(em, { userId: actor.id, exerciseId: body.exerciseId });
      return { body: withCloneUrl(await selectTask(orm.em.fork(), actor, taskId)) };
    },
    async getTask({ em, actor, params }) {
      return { body: withCloneUrl(await selectTask(em, actor, params.id)) };
    },
    async submitTask({ em, actor, params, body, keyed }) {
      const task = await selectTask(em, actor, params.id);
      if (task.assigneeId !== actor.id) throw new DomainError('forbidden', 'Only the assignee submits.');
      // Before the transaction: making a repository takes a connection of its own.
      await repositories.ensure(task.id, () => selectStarterFiles(orm.em.fork(), task.id));
      const submissionId = newSubmissionId();
      const answer = await once(orm.em.fork(), keyed, async (tx) => {
        const source = await resolveSource(task.id, body.ref);
        const { attemptNo } = await submitTask(tx, { taskId: task.id, actorId: actor.id, source, submissionId });
        // Before the transaction ends: a submission without its commit cannot exist. After what may refuse: no pin is left behind.
        await repositories.pin(task.id, submissionId, source.commit);
        const statusUrl = `${config.ATELIER_ORIGIN}/api/submissions/${submissionId}`;
        const accepted: Accepted = { submissionId, attemptNo, commit: source.commit, statusUrl };
        return { status: 202, body: accepted };
      });
      if (!answer.isReplay) await startSoon(submissionId);
      return { body: answer.body as Accepted, isReplay: answer.isReplay };
    },
  };
}
