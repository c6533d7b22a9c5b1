import { Migration20261121000000_init } from './Migration20261121000000_init.ts';

/** In the order in which they run; listed by hand, so that nothing is picked up by its file name. */
export const migrationsList = [Migration20261121000000_init];
