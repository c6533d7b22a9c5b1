import { Migration20261121102840_init } from './Migration20261121102840_init.ts';

/** In the order in which they run; listed by hand, so that nothing is picked up by its file name. */
export const migrationsList = [Migration20261121102840_init];
