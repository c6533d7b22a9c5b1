import { askUntilKnown, decision, waitForStages } from '../people.ts';
import { observe, type Outcome, type World } from '../world.ts';

/** P25: the verdict and the review are for the commit that was submitted, whatever is pushed over it at any step. */
export function verdictIsForTheCommit(world: World): Promise<Outcome> {
  const { academy, acknowledged } = world;
  return observe(world, 'P25 the verdict is for the commit', async () => {
    const violations: string[] = [];
    const student = await academy.enrolStudent();
    const starter = student.read('src/board.js');
    student.solve();
    const commit = student.push();
    const id = await student.submit();
    acknowledged.set(id, 'open');
    // What would fail the checks takes its place before they run, and again before the decision.
    student.write('src/board.js', starter);
    student.push();
    student.forcePush();
    await waitForStages(academy, [id], ['AWAITING_REVIEW']);
    const pushed = student.forcePush();
    const review = await askUntilKnown(academy, decision(academy.reviewerToken, id, 'APPROVED'));
    acknowledged.set(id, 'approved');
    if (review.body['commit'] !== commit) violations.push(`the review names ${String(review.body['commit'])}, not ${commit}`);
    if (pushed === commit) violations.push('nothing was pushed over it');
    const shown = await academy.get<{ commit: string; checkRun: { verdict: string } }>(student.token, `/api/submissions/${id}`);
    if (shown.commit !== commit || shown.checkRun.verdict !== 'accepted') {
      violations.push(`the student sees ${shown.checkRun.verdict} of ${shown.commit}, not of ${commit}`);
    }
    return { crashes: 0, violations };
  });
}
