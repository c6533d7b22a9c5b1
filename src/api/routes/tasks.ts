import { DomainError } from '../../domain/errors.ts';
import { canonicalRepoUrl } from '../../domain/repo-urls.ts';
import { startTask } from '../../services/enrolments.ts';
import { listTasks, selectTask, setRepoUrl, type TaskView } from '../../services/tasks.ts';
import type { tasksContract } from '../contract/tasks.ts';
import type { Dependencies } from '../dependencies.ts';
import { answerOnce } from '../answer-once.ts';
import type { Handlers } from '../mount.ts';
import { createSubmit } from '../submit.ts';

export function tasksHandlers(dependencies: Dependencies): Handlers<typeof tasksContract> {
  const { config, orm } = dependencies;
  const submit = createSubmit(dependencies);
  const shown = <T extends TaskView>({ repositoryId, version: _version, ...task }: T) => ({
    ...task,
    cloneUrl: `${config.ATELIER_ORIGIN}/git/${repositoryId}.git`,
  });

  return {
    async listTasks({ em, actor }) {
      return { body: { items: (await listTasks(em, actor.id)).map(shown) } };
    },
    startTask: ({ em, actor, body, keyed }) =>
      answerOnce(em, keyed, async (tx) => {
        const { taskId } = await startTask(tx, { userId: actor.id, exerciseId: body.exerciseId });
        await tx.flush();
        return shown(await selectTask(tx, actor, taskId));
      }),
    async getTask({ em, actor, params }) {
      const task = await selectTask(em, actor, params.id);
      return { body: shown(task), etag: String(task.version) };
    },
    async changeTask({ em, actor, params, body }) {
      const repoUrl = body.repoUrl === null ? null : canonicalRepoUrl(config.REPO_HOSTS, body.repoUrl);
      if (body.repoUrl !== null && repoUrl === null) {
        const hosts = config.REPO_HOSTS.map(({ origin }) => origin).join(', ');
        throw new DomainError(
          'repo-url-not-allowed',
          `Give the https address of a repository, of one of these: ${hosts || 'none'}.`,
        );
      }
      const task = await selectTask(em, actor, params.id);
      if (task.assigneeId !== actor.id) throw new DomainError('forbidden', 'Only the assignee names the repository.');
      await setRepoUrl(orm.em.fork(), { taskId: params.id, actorId: actor.id, repoUrl });
      return { body: shown(await selectTask(orm.em.fork(), actor, params.id)) };
    },
    submitTask: ({ actor, params, body, keyed }) => submit({ actor, taskId: params.id, ref: body.ref, keyed }),
  };
}
