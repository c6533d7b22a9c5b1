import { type Request, Router } from 'express';
import { DomainError } from '../../domain/errors.ts';
import type { Actor } from '../../domain/users.ts';
import { toCommitFiles } from '../../git/fetch-commit.ts';
import { isJobToken } from '../../git/job-token.ts';
import { readCommit, SourceProblem } from '../../git/read-commit.ts';
import { isPush, serveSmartHttp } from '../../git/smart-http.ts';
import { selectStarterFiles } from '../../services/exercises.ts';
import { selectOptionalActorByAccessToken } from '../../services/sessions.ts';
import { beginTask, selectTaskByRepository } from '../../services/tasks.ts';
import type { Dependencies } from '../dependencies.ts';
import { HttpProblem } from '../middleware/problems.ts';

/** The only paths of git's smart protocol; the older one, which serves files, is not offered. */
const services = /^\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.git\/(info\/refs|git-upload-pack|git-receive-pack)$/;

/** A submitted commit, as the judge asks for it (`git/fetch-commit.ts`). */
const commits = /^\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.git\/commits\/([0-9a-f]{40}(?:[0-9a-f]{24})?)$/;

/**
 * `/git/<repository id>.git`: clone, fetch and push for the assignee, fetch for who else sees the task; the files of one commit for a
 * judging worker with its one-job token.
 */
export function gitRouter({ orm, repositories, config }: Dependencies): Router {
  const router = Router();

  async function callerOf(request: Request): Promise<Actor> {
    const password = basicPassword(request.headers.authorization);
    const actor = password === null ? null : await selectOptionalActorByAccessToken(orm.em.fork(), password);
    if (actor === null) {
      throw new HttpProblem(401, 'unauthenticated', 'The password for git is an access token: POST /api/me/access-tokens.', {
        headers: { 'WWW-Authenticate': 'Basic realm="Atelier", charset="UTF-8"' },
      });
    }
    return actor;
  }

  router.get(commits, async (request, response) => {
    const [, repositoryId = '', commit = ''] = commits.exec(request.path) ?? [];
    const token = basicPassword(request.headers.authorization);
    if (token === null || !isJobToken(config.JWT_SECRET, token, repositoryId)) {
      throw new HttpProblem(401, 'unauthenticated', 'Commits are given out to judging workers only.');
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    try {
      response.json(toCommitFiles(await readCommit(repositories.pathOf(repositoryId), commit, gone.signal)));
    } catch (error) {
      if (error instanceof SourceProblem) throw new HttpProblem(422, 'source-unusable', error.message);
      throw error;
    }
  });

  router.use(async (request, response) => {
    const repositoryId = services.exec(request.path)?.[1];
    const query = request.originalUrl.split('?')[1] ?? '';
    const isOffered = request.path.endsWith('/info/refs')
      ? request.method === 'GET' && /^service=git-(?:upload|receive)-pack$/.test(query)
      : request.method === 'POST';
    if (repositoryId === undefined || !isOffered) throw new DomainError('not-found', 'There is no repository at this address.');
    const caller = await callerOf(request);
    const task = await selectTaskByRepository(orm.em.fork(), caller, repositoryId);
    if (isPush(request.path, query) && task.assigneeId !== caller.id) {
      throw new DomainError('forbidden', 'Only the assignee pushes.');
    }
    await repositories.ensure(repositoryId, () => selectStarterFiles(orm.em.fork(), repositoryId));
    await serveSmartHttp(request, response, {
      folder: repositories.folder,
      path: request.path,
      query,
      user: caller.id,
    });
    if (request.path.endsWith('/git-receive-pack')) {
      await beginTask(orm.em.fork(), { taskId: task.id, actorId: caller.id });
    }
  });
  return router;
}

function basicPassword(authorization: string | undefined): string | null {
  const encoded = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return null;
  const decoded = Buffer.from(encoded, 'base64').toString('utf8');
  return decoded.includes(':') ? decoded.slice(decoded.indexOf(':') + 1) : null;
}
