/**
 * Does several things at once. Where one fails the others are stopped by their signal and waited for: nobody wants what they do any more.
 *
 * @throws what the first that failed threw; the signal's reason where it is aborted.
 */
export async function sideBySide<const Works extends readonly ((signal: AbortSignal) => Promise<unknown>)[]>(
  signal: AbortSignal,
  works: Works,
): Promise<{ -readonly [Index in keyof Works]: Awaited<ReturnType<Works[Index]>> }> {
  const failed = new AbortController();
  const shared = AbortSignal.any([signal, failed.signal]);
  const started = works.map(async (work) => {
    try {
      return await work(shared);
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
  await Promise.allSettled(started);
  failed.signal.throwIfAborted();
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a mapped tuple, which `map` and `all` do not know
  return (await Promise.all(started)) as { -readonly [Index in keyof Works]: Awaited<ReturnType<Works[Index]>> };
}
