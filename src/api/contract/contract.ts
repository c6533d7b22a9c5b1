import { adminContract } from './admin.ts';
import { eventsContract } from './events.ts';
import { exercisesContract } from './exercises.ts';
import { notificationsContract } from './notifications.ts';
import { reviewsContract } from './reviews.ts';
import { runsContract } from './runs.ts';
import { scoringContract } from './scoring.ts';
import { submissionsContract } from './submissions.ts';
import { tasksContract } from './tasks.ts';
import { usersContract } from './users.ts';

/** The whole of /api; a route that is not here does not exist. */
export const contract = {
  ...usersContract,
  ...exercisesContract,
  ...tasksContract,
  ...submissionsContract,
  ...eventsContract,
  ...runsContract,
  ...reviewsContract,
  ...notificationsContract,
  ...scoringContract,
  ...adminContract,
} as const;
