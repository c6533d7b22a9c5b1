import { enrol } from '../../services/enrolments.ts';
import { listCourses } from '../../services/exercises.ts';
import { answerOnce } from '../answer-once.ts';
import type { exercisesContract } from '../contract/exercises.ts';
import type { Handlers } from '../mount.ts';

export const exercisesHandlers: Handlers<typeof exercisesContract> = {
  async listCourses({ em }) {
    const items = await listCourses(em);
    return { body: { items: items.map((course) => ({ ...course, exercises: [...course.exercises] })) } };
  },
  enrol: ({ em, actor, params, keyed }) =>
    answerOnce(em, keyed, (tx) => enrol(tx, { userId: actor.id, courseSlug: params.slug })),
};
