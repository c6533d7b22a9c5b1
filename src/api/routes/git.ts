import { type Request, Router } from 'express';
import { DomainError } from '../../domain/errors.ts';
import type { Actor } from '../../domain/users.ts';
import { isJobToken } from '../../git/job-token.ts';
import { isPush, serveSmartHttp } from '../../git/smart-http.ts';
import { selectStarterFiles } from '../../services/exercises.ts';
import { selectOptionalActorByAccessToken } from '../../services/sessions.ts';
import { beginTask, selectTaskByRepository } from '../../services/tasks.ts';
import type { Dependencies } from '../dependencies.ts';
import { HttpProblem } from '../middleware/problems.ts';

/** The only paths of git's smart protocol; the older one, which serves files, is not offered. */
const services = /^\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.git\/(info\/refs|git-upload-pack|git-receive-pack)$/;

/** `/git/<repository id>.git`: clone, fetch and push for the assignee, fetch for who else sees the task and for the judge's one-job token. */
export function gitRouter({ orm, repositories, config }: Dependencies): Router {
  const router = Router();

  async function callerOf(request: Request, repositoryId: string): Promise<Actor | 'judge'> {
    const password = basicPassword(request.headers.authorization);
    if (password !== null && isJobToken(config.JWT_SECRET, password, repositoryId)) return 'judge';
    const actor = password === null ? null : await selectOptionalActorByAccessToken(orm.em.fork(), password);
    if (actor === null) {
      throw new HttpProblem(401, 'unauthenticated', 'The password for git is an access token: POST /api/me/access-tokens.', {
        headers: { 'WWW-Authenticate': 'Basic realm="Atelier", charset="UTF-8"' },
      });
    }
    return actor;
  }

  router.use(async (request, response) => {
    const repositoryId = services.exec(request.path)?.[1];
    const query = request.originalUrl.split('?')[1] ?? '';
    const isOffered = request.path.endsWith('/info/refs')
      ? request.method === 'GET' && /^service=git-(?:upload|receive)-pack$/.test(query)
      : request.method === 'POST';
    if (repositoryId === undefined || !isOffered) throw new DomainError('not-found', 'There is no repository at this address.');
    const caller = await callerOf(request, repositoryId);
    const pushes = isPush(request.path, query);
    let taskId: string | null = null;
    if (caller === 'judge') {
      if (pushes) throw new DomainError('forbidden', 'This token only reads.');
    } else {
      const task = await selectTaskByRepository(orm.em.fork(), caller, repositoryId);
      taskId = task.id;
      if (pushes && task.assigneeId !== caller.id) throw new DomainError('forbidden', 'Only the assignee pushes.');
    }
    await repositories.ensure(repositoryId, () => selectStarterFiles(orm.em.fork(), repositoryId));
    await serveSmartHttp(request, response, {
      folder: repositories.folder,
      path: request.path,
      query,
      user: caller === 'judge' ? 'judge' : caller.id,
    });
    if (caller !== 'judge' && taskId !== null && request.path.endsWith('/git-receive-pack')) {
      await beginTask(orm.em.fork(), { taskId, actorId: caller.id });
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
