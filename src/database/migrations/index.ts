import { Migration20261121000000_init } from './Migration20261121000000_init.ts';
import { Migration20261121120000_durable_loop } from './Migration20261121120000_durable_loop.ts';
import { Migration20261121150000_judge } from './Migration20261121150000_judge.ts';

/** In the order in which they run; listed by hand, so that nothing is picked up by its file name. */
export const migrationsList = [Migration20261121000000_init, Migration20261121120000_durable_loop, Migration20261121150000_judge];
