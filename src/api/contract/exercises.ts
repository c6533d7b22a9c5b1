import { z } from 'zod';
import { languageNames } from '../../domain/check-runs.ts';
import { defineContract, text } from './core.ts';

const CourseView = z
  .object({
    slug: z.string(),
    title: z.string(),
    summary: z.string(),
    exercises: z.array(
      z.object({
        id: z.uuid(),
        slug: z.string(),
        title: z.string(),
        summary: z.string(),
        language: z.enum(languageNames),
        difficulty: z.enum(['easy', 'medium', 'hard']),
      }),
    ),
  })
  .meta({ id: 'Course' });

export const exercisesContract = defineContract({
  listCourses: {
    method: 'get',
    path: '/courses',
    tag: 'catalogue',
    summary: 'The courses and their exercises',
    access: 'user',
    status: 200,
    response: z.object({ items: z.array(CourseView) }),
  },
  enrol: {
    method: 'post',
    path: '/courses/{slug}/enrolments',
    tag: 'catalogue',
    summary: 'Enrol in a course; assigns its starter task',
    access: 'user',
    isKeyed: true,
    params: z.object({ slug: text(100) }),
    status: 201,
    response: z.object({ enrolmentId: z.uuid() }),
  },
});
