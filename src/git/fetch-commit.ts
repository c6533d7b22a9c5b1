import { z } from 'zod';
import { type CommitFile, SourceProblem } from './read-commit.ts';

/** A commit's files on the way from the api to a judging worker. */
export const CommitFiles = z.object({
  files: z.array(z.object({ path: z.string(), content: z.base64() })),
});

export const toCommitFiles = (files: readonly CommitFile[]): z.input<typeof CommitFiles> => ({
  files: files.map(({ path, content }) => ({ path, content: content.toString('base64') })),
});

/** Where the api gives out a commit of one of our own repositories. */
export const commitPath = (repositoryId: string, commit: string) => `/git/${repositoryId}.git/commits/${commit}`;

const timeoutMs = 60_000;

/**
 * Asks the api for the files of a submitted commit: the judging worker has no access to the repositories themselves.
 *
 * @param input.origin where the api answers, such as `http://api:3000`.
 * @param input.token `signJobToken` for this repository.
 * @throws SourceProblem where the commit is not there or cannot be judged, Error where the api gives no answer.
 */
export async function fetchCommit(input: {
  origin: string;
  repositoryId: string;
  token: string;
  commit: string;
  signal: AbortSignal;
}): Promise<CommitFile[]> {
  try {
    return await askForCommit(input);
  } catch (error) {
    // What `fetch` throws for a server that is away looks like a fault of our own code, which nobody would try again.
    if (!(error instanceof TypeError)) throw error;
    throw new Error(`the api gives no answer for a commit: ${error.message}`, { cause: error });
  }
}

async function askForCommit(input: Parameters<typeof fetchCommit>[0]): Promise<CommitFile[]> {
  const response = await fetch(new URL(commitPath(input.repositoryId, input.commit), input.origin), {
    headers: { authorization: `Basic ${Buffer.from(`judge:${input.token}`).toString('base64')}` },
    // The token is for this address and no other.
    redirect: 'error',
    signal: AbortSignal.any([input.signal, AbortSignal.timeout(timeoutMs)]),
  });
  if (response.status === 422) {
    const { detail } = z.object({ detail: z.string() }).parse(await response.json());
    throw new SourceProblem(detail);
  }
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`the api answered ${response.status} for a commit`);
  }
  const { files } = CommitFiles.parse(await response.json());
  return files.map(({ path, content }) => ({ path, content: Buffer.from(content, 'base64') }));
}
